"""Settings of Sphinx, which turns docs/*.md, docs/api/ and the docstrings into web pages.

`make docs` runs it. The functions below do what no setting of Sphinx does: add the contents, make
four kinds of links, and write formulas as MathML.
"""

import re
from pathlib import Path

import mxconv

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parent.parent

project = "mxconv"
author = "The mxconv authors"
version = release = mxconv.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"mxconv {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["page.html"]
html_copy_source = False
html_show_copyright = False

# The repository's address, or None while it is unknown. CITATION.cff is the one place for it.
citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
stated = re.search(r"^repository-code: (\S+?)/*$", citation, re.MULTILINE)
repository = stated and stated[1]

# Markdown as GitHub reads it, with formulas between dollar signs and links to headings. Inline
# attributes are for link_to_page.
myst_enable_extensions = ["attrs_inline", "dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

# In docstrings single backticks mean code. Types are those in the text, not the annotations.
default_role = "literal"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = False
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False

# Appended to docs/index.md, which is also read on GitHub, where none of this exists.
CONTENTS = """
## Reference

- [API reference](api/index): every public name.

```{toctree}
:hidden:
:caption: Guide

exercises
lesson
migration
compared-with-conv2d
bad-input
algorithms
performance
benchmarks
inference
cpu
deployment
distributed
tested-on
```

```{toctree}
:hidden:
:caption: Reference

api/index
```
"""


def add_contents(app, docname, source):
    """Add the contents, which the sidebar shows, to the first page."""
    if docname == "index":
        source[0] += CONTENTS


LINK_OUT_OF_DOCS = re.compile(r"(?<!!)\[([^][]*)\]\(\.\./([^)\s]+)\)")


def link_to_repository(app, docname, source):
    """Point links to files outside docs/ at the repository, at the tag of this version.

    While the repository's address is unknown, such a link becomes its text.
    """
    address = app.config.repository
    link = rf"[\1]({address}/blob/v{release}/\2)" if address else r"\1"
    source[0] = LINK_OUT_OF_DOCS.sub(link, source[0])


def link_to_page(app, docname, source):
    """Keep links to page.html as they are.

    MyST would make downloads of them, without the settings after the #.
    """
    source[0] = re.sub(r"(\]\(page\.html[^)\s]*\))", r"\1{.external}", source[0])


def link_pages(app, what, name, obj, options, lines):
    """Make links of the pages that a docstring mentions by their files, as in docs/cpu.md."""
    lines[:] = [
        re.sub(r"(?<!`)\bdocs/([\w-]+)\.md\b", r":doc:`docs/\1.md </\1>`", line) for line in lines
    ]


def link_names(app, doctree, docname):
    """Link names to their entries in the reference.

    This covers names that are marked as code, on every page, and the types in docstrings. Functions
    and classes are known by their last name, all others (`ConvGeometry.pads`) by at least two.
    """
    entries = {}
    for name, _, kind, page, anchor, _ in app.env.get_domain("py").get_objects():
        parts = name.split(".")
        shortest = 1 if kind in ("class", "function") else 2
        for start in range(len(parts) - shortest + 1):
            entries.setdefault(".".join(parts[start:]), (page, anchor))

    def linked(name, node):
        if name not in entries:
            return node
        return make_refnode(app.builder, docname, *entries[name], node)

    for code in list(doctree.findall(nodes.literal)):
        if not isinstance(code.parent, (nodes.reference, nodes.title)):
            code.replace_self(linked(code.astext(), code.deepcopy()))
    for text in list(doctree.findall(nodes.Text)):
        if isinstance(text.parent, (nodes.classifier, nodes.term)):
            words = re.split(r"([\w.]+)", text)
            text.parent.replace(text, [linked(word, nodes.Text(word)) for word in words])


def visit_math(translator, node):
    """Write a formula as MathML, which browsers display without a script."""
    block = isinstance(node, nodes.math_block)
    formula = convert(node.astext(), display="block" if block else "inline")
    if "\\" in formula:
        logging.getLogger(__name__).warning(
            "expected LaTeX that latex2mathml knows, received %r", node.astext(), location=node
        )
    translator.body.append(f'<div class="formula">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app):
    """Register the functions above with Sphinx, which calls this."""
    app.add_config_value("repository", None, "env")
    app.connect("source-read", add_contents)
    app.connect("source-read", link_to_repository)
    app.connect("source-read", link_to_page)
    app.connect("autodoc-process-docstring", link_pages)
    app.connect("doctree-resolved", link_names)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))

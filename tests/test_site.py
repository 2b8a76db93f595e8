"""The documentation as web pages: complete, without broken links, and readable offline."""

import inspect
import posixpath
import re
import runpy
import subprocess
import sys
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import mxconv

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NAMESPACES = [getattr(mxconv, name) for name in mxconv._NAMESPACES]
MISSING = [
    name
    for name in ("sphinx", "myst_parser", "furo", "numpydoc", "latex2mathml")
    if find_spec(name) is None
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING),
        reason=f"the pages are built with the extra mxconv[docs], of which {MISSING} are missing",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the pages. Building them fails at the first warning."""
    folder = tmp_path_factory.mktemp("site")
    arguments = ["-W", "--keep-going", "-q", "-D", "repository=", str(DOCS), str(folder)]
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", *arguments],
        cwd=str(ROOT),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def site(folder):
    """The text of every page, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in folder.rglob("*.html")
    }


def public_names(module):
    """What `__all__` lists or, without it, the module's own functions and classes."""
    return getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
        and value.__doc__  # without one it is a helper
        and not name.startswith("_")
    ]


def test_every_public_name_has_an_entry(site):
    """An object that has several names has its entry under one of them."""
    objects = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in (mxconv, *NAMESPACES)
        for name in public_names(module)
    }
    assert len(objects) > 30
    entries = {id_ for text in site.values() for id_ in re.findall(r'<dt[^>]* id="(.+?)"', text)}
    described = [value for name, value in objects.items() if name in entries]
    without = [n for n, value in objects.items() if not any(value is other for other in described)]
    assert without == []


@pytest.mark.parametrize("module", [mxconv, *NAMESPACES], ids=lambda module: module.__name__)
def test_every_namespace_has_an_entry(site, module):
    assert any(f'id="module-{module.__name__}"' in text for text in site.values())


def test_every_page_of_docs_is_in_the_contents(site):
    pages = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    listed = set(re.findall(r'toctree-l1"><a [^>]*href="([\w-]+)\.html"', site["index.html"]))
    assert len(pages) >= 7
    assert listed == pages


def test_every_link_leads_somewhere(site, folder):
    """To a page of the site, and a place in it; links to other sites aren't followed.

    What follows the # of page.html are settings. tests/test_lesson.py follows those.
    """
    ids = {path: set(re.findall(r'\bid="(.+?)"', text)) for path, text in site.items()}
    links = [
        (path, link)
        for path, text in site.items()
        for link in re.findall(r'<a [^>]*href="(.*?)"', text)
        if not urlsplit(link).scheme
    ]
    assert len(links) > 500
    broken = []
    for path, link in links:
        parts = urlsplit(unquote(link))
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), parts.path))
        target = target if parts.path else path
        known = parts.fragment in {"", *ids.get(target, ())} or target == "page.html"
        if not (folder / target).is_file() or not known:
            broken.append((path, link))
    assert broken == []


def test_links_to_the_page_keep_its_settings(site):
    """They are those of docs/lesson.md, and lead to a copy of docs/page.html."""
    links = re.findall(r"\]\((page\.html[^)]*)\)", (DOCS / "lesson.md").read_text("utf-8"))
    found = re.findall(r'<a [^>]*href="(page\.html.*?)"', site["lesson.html"])
    assert [unescape(link) for link in found] == links and len(links) > 40
    assert site["page.html"] == (DOCS / "page.html").read_text("utf-8")


def test_no_page_loads_anything_from_the_network(site, folder):
    """Scripts, styles, images and fonts; a link to another site is followed on a click only."""
    loaded = [
        source
        for text in site.values()
        for source in re.findall(r'(?:<link [^>]*href|\bsrc)="(.*?)"', text)
    ]
    for style in folder.rglob("*.css"):
        loaded += re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", style.read_text("utf-8"))
    assert len(loaded) > 100
    assert [source for source in loaded if re.match(r"(?!data:)\w+:|//", source)] == []


def test_formulas_are_mathml(site):
    formulas = re.findall(r"\$\$.+?\$\$|\$.+?\$", (DOCS / "exercises.md").read_text("utf-8"), re.S)
    assert len(formulas) > 40
    assert site["exercises.html"].count("<math ") == len(formulas)


def test_a_name_in_a_page_leads_to_its_entry(site):
    links = re.findall(
        r'<a [^>]*href="([^"]*)"[^>]*><code[^>]*><span[^>]*>([^<]*)', site["migration.html"]
    )
    assert ("api/networks.html#mxconv.convert", "convert") in links


OF_DOCS = "[cpu](cpu.md#amx) ![plot](../plot.png) [site](https://example.org)"
BLOB = f"https://example.org/mxconv/blob/v{mxconv.__version__}"


@pytest.mark.parametrize(
    "address, expected",
    [
        (None, f"rule.md, `tests/` {OF_DOCS}"),
        (
            "https://example.org/mxconv",
            f"[rule.md]({BLOB}/benchmarks/rule.md#x), [`tests/`]({BLOB}/tests) {OF_DOCS}",
        ),
    ],
)
def test_links_out_of_docs_lead_to_the_repository(address, expected):
    conf = runpy.run_path(str(DOCS / "conf.py"))
    source = [f"[rule.md](../benchmarks/rule.md#x), [`tests/`](../tests) {OF_DOCS}"]
    app = SimpleNamespace(config=SimpleNamespace(repository=address))
    conf["link_to_repository"](app, "page", source)
    assert source == [expected]

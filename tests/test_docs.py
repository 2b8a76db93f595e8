"""The documentation: its code is run, and its outputs, numbers, tables and links are checked."""

import ast
import doctest
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import mxconv

import pytest
from mxnet import nd
from mxnet.gluon import nn

pytestmark = pytest.mark.kernels

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", *DOCS.glob("*.md")]
PAGE = pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)  # of any language
NUMBER = re.compile(r"(?<![\w.-])(?:\d+\.\d+|\d{3,})(?![\w%])")


def examples(page):
    """The page's code as one doctest, in its order."""
    code = "\n".join(block for block in FENCED.findall(page))
    return doctest.DocTestParser().get_doctest(code, {}, "page", "page", 0)


@pytest.mark.parametrize(
    "name, least",  # examples on the page
    [
        ("exercises.md", 40),
        ("migration.md", 30),
        ("deployment.md", 30),
        ("inference.md", 30),
        ("index.md", 5),
    ],
)
def test_the_code_on_the_page_prints_what_the_page_says(name, least, tmp_path, monkeypatch):
    if name in ("deployment.md", "inference.md"):
        pytest.importorskip("onnxruntime", reason="it exports to ONNX: the extra mxconv[onnx]")
    monkeypatch.chdir(tmp_path)  # some write files
    test = examples((DOCS / name).read_text(encoding="utf-8"))
    assert len(test.examples) >= least
    report = []
    results = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert results.failed == 0, "".join(report)


@PAGE
def test_all_code_on_the_page_is_python(page):
    blocks = [block for block in FENCED.findall(page.read_text("utf-8")) if ">>>" not in block]
    for block in blocks:
        ast.parse(block)


@pytest.mark.slow
def test_the_code_about_the_process_reports_its_three_settings():
    """It changes the process, so it runs in one of its own; what it prints depends on the CPU."""
    code = "\n".join(FENCED.findall((DOCS / "cpu.md").read_text("utf-8")))
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.returncode == 0 and len(run.stdout.splitlines()) == 3


def test_every_number_in_the_text_is_one_that_the_code_prints():
    """Numbers with a decimal point or of three digits and more; smaller ones are prose."""
    page = (DOCS / "exercises.md").read_text(encoding="utf-8")
    printed = " ".join(example.want + example.source for example in examples(page).examples)
    text = FENCED.sub("", page)
    numbers = NUMBER.findall(text)
    assert len(numbers) >= 5
    known = set(re.findall(r"\d+\.\d+|\d+", printed))
    assert [number for number in numbers if number not in known] == []


def test_the_readmes_examples_print_what_it_says(capsys, tmp_path, monkeypatch):
    """Each Python block is followed by the block of what it prints, if it prints anything."""
    monkeypatch.chdir(tmp_path)  # one writes a figure
    fences = re.findall(
        r"^```(\w*)\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    namespace, checked = {}, 0
    for (language, code), (following, expected) in zip(fences, fences[1:] + [("", "")]):
        if language == "python":
            exec(code, namespace)
            printed = capsys.readouterr().out
            if printed:
                assert not following and printed == expected
                checked += 1
    assert checked == 3


def test_every_row_of_the_comparison_names_its_test():
    page = (DOCS / "compared-with-conv2d.md").read_text("utf-8")
    rows = re.findall(r"^\| (?!\|).*\|$", page, re.MULTILINE)
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?` \|$", page, re.MULTILINE)
    assert len(named) == len(rows) >= 20
    for file, function in named:
        tree = ast.parse((HERE / file).read_text("utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in functions if function else any(f.startswith("test_") for f in functions)


def test_the_table_of_algorithms_is_the_generated_one():
    """`python -c "import mxconv; print(mxconv.algorithms.table())"` prints it."""
    page = (DOCS / "algorithms.md").read_text("utf-8")
    table = page.split("<!-- algorithms -->\n")[1].split("<!-- end -->")[0]
    assert table.strip("\n") == mxconv.algorithms.table()


def test_every_algorithm_has_a_section_in_the_order_of_the_table():
    sections = headings(DOCS / "algorithms.md", level=2)
    names = list(mxconv.algorithms.NAMES)
    assert sections[: len(names)] == names


@PAGE
def test_mxconv_is_imported_before_mxnet(page):
    """As NumPy 1.26 needs, on Python 3.12."""
    imported = re.findall(
        r"^(?:>>> )?(?:import|from) (mxconv|mxnet)", page.read_text("utf-8"), re.M
    )
    assert not imported or imported[0] == "mxconv"


@PAGE
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text("utf-8"))
    for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", text):
        target = page.parent / link if link else page
        assert target.exists(), f"there is no {link}"
        if anchor and target != DOCS / "page.html":  # test_lesson.py follows those
            assert anchor in map(slug, headings(target)), f"{link} has no heading #{anchor}"


def test_the_index_leads_to_every_page():
    links = re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "index.md").read_text("utf-8"))
    assert sorted(links) == sorted(page.name for page in DOCS.glob("*.md") if page.stem != "index")


@PAGE
def test_every_make_target_exists(page):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = re.findall(r"(?:`|^)make ([\w-]+)", page.read_text("utf-8"), re.MULTILINE)
    assert set(named) <= set(targets)


def headings(page, level=None):
    """The headings of a page, of one level or of all."""
    marks = "#" * level if level else "#+"
    text = FENCE.sub("", page.read_text("utf-8"))
    return re.findall(rf"^{marks} (.+)$", text, re.MULTILINE)


def slug(heading):
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


GLOBALS = {"nd": nd, "nn": nn, "MultiChannelConv2D": mxconv.MultiChannelConv2D}
MODULES = [module.name for module in pkgutil.walk_packages(mxconv.__path__, "mxconv.")]


def test_the_examples_in_docstrings_print_what_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    examples = 0
    for name in MODULES:
        # The example of export_onnx needs onnxruntime; the page on deployment runs one like it.
        if name != "mxconv.files.onnx_export":
            results = doctest.testmod(import_module(name), extraglobs=GLOBALS)
            assert results.failed == 0, name
            examples += results.attempted
    assert examples > 15

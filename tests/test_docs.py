"""The documentation is run: its code, its outputs, and the numbers in its text."""

import ast
import doctest
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import mxconv

import pytest
from mxnet import nd
from mxnet.gluon import nn

pytestmark = pytest.mark.kernels

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
DOCS = HERE.parent / "docs"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.-])(?:\d+\.\d+|\d{3,})(?![\w%])")


def examples(page):
    """The page's code as one doctest, in its order."""
    code = "\n".join(block for block in FENCED.findall(page))
    return doctest.DocTestParser().get_doctest(code, {}, "page", "page", 0)


@pytest.mark.parametrize("name", ["exercises.md", "migration.md", "deployment.md"])
def test_the_code_on_the_page_prints_what_the_page_says(name, tmp_path, monkeypatch):
    if name == "deployment.md":
        pytest.importorskip(
            "onnxruntime", reason="the page exports to ONNX: the extra mxconv[onnx]"
        )
    monkeypatch.chdir(tmp_path)  # some write files
    test = examples((DOCS / name).read_text(encoding="utf-8"))
    assert len(test.examples) > 10
    report = []
    results = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert results.failed == 0, "".join(report)


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
    assert checked >= 3


def test_every_row_of_the_readmes_comparison_names_its_test():
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?` \|$", README.read_text("utf-8"), re.MULTILINE)
    assert len(named) >= 14
    for file, function in named:
        tree = ast.parse((HERE / file).read_text("utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in functions if function else any(f.startswith("test_") for f in functions)


@pytest.mark.parametrize("page", [README, *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_mxconv_is_imported_before_mxnet(page):
    """As numpy 1.26 needs, on Python 3.12."""
    imported = re.findall(
        r"^(?:>>> )?(?:import|from) (mxconv|mxnet)", page.read_text("utf-8"), re.M
    )
    assert not imported or imported[0] == "mxconv"


def test_links_lead_somewhere():
    for page in [README, *DOCS.glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


GLOBALS = {"nd": nd, "nn": nn, "MultiChannelConv2D": mxconv.MultiChannelConv2D}
MODULES = [module.name for module in pkgutil.walk_packages(mxconv.__path__, "mxconv.")]


def test_the_examples_in_docstrings_print_what_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    examples = 0
    for name in MODULES:
        if name != "mxconv.export":  # whose example needs onnxruntime; test_export.py runs the like
            results = doctest.testmod(import_module(name), extraglobs=GLOBALS)
            assert results.failed == 0, name
            examples += results.attempted
    assert examples > 15

"""The tests themselves: what they share stands in helpers.py, and what is slow is marked."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
MODULES = {path.stem: path for path in TESTS.glob("*.py")}
OF_TESTS = {name for name in MODULES if name.startswith("test_")}
SLOW_ONLY = {"test_site"}  # its web pages take a minute to build
SLOW_ONLY |= {"test_page_computes", "test_page_link", "test_page_readers", "test_page_screens"}


def imported(source):
    """The modules of tests that some code imports, wherever it does."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[-1] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update([*(node.module or "").split("."), *(alias.name for alias in node.names)])
    return names & OF_TESTS


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_module_imports_one_of_tests(name):
    assert imported(MODULES[name].read_text("utf-8")) == set()


@pytest.mark.parametrize(
    "code",
    [
        "import test_layer",
        "import test_layer as layer",
        "from test_layer import run",
        "from tests.test_layer import run",
        "from tests import test_layer",
        "def test():\n    from .test_layer import run",
    ],
)
def test_an_import_of_tests_is_noticed(code):
    assert imported(code) == {"test_layer"}


@pytest.mark.slow
def test_every_file_has_a_fast_test():
    """`make test` runs something of every file, but for those of `SLOW_ONLY`."""
    pytest.importorskip("onnxruntime", reason="without it, test_onnx_export.py is skipped whole")
    command = ["-m", "pytest", "--collect-only", "-q", "-m", "not slow", str(TESTS)]
    found = subprocess.run([sys.executable, *command], cwd=TESTS.parent, stdout=subprocess.PIPE)
    assert found.returncode == 0
    fast = {
        Path(line.split("::")[0]).stem
        for line in found.stdout.decode().splitlines()
        if "::" in line
    }
    assert fast == OF_TESTS - SLOW_ONLY

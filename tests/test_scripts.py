"""Every file of examples/ and benchmarks/, in a process of its own, as a user types it.

The scripts are run, the long ones shortened by their options, and what other scripts import is
imported alone. NumPy is as from 1.24 on, where MXNet can't be imported before mxconv.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from test_compat import NUMPY_124

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("examples", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
)
# Imported only: the modules that aren't scripts, and the scripts that other tests run whole.
IMPORTED = {
    "examples/__init__.py": "lets examples be run as modules",
    "examples/digits.py": "test_examples.py",
    "examples/digits_distributed.py": "test_distributed.py",
    "examples/launch.py": "test_distributed.py",
    "examples/page.py": "test_page.py",
    "examples/run_all.py": "test_examples.py",
    "benchmarks/bad_input.py": "test_bad_input.py",
    "benchmarks/cases.py": "the convolutions",
    "benchmarks/convolutions.py": "test_benchmarks.py",
    "benchmarks/report.py": "the tables",
    "benchmarks/timing.py": "the clock",
    "benchmarks/torch_peer.py": "the side of PyTorch",
    "benchmarks/wrong_values.py": "the cases of bad_input.py",
}
SHORTENED = {
    "examples/digits_multi_device.py": ["--epochs", "1"],
    "examples/export_onnx.py": ["--epochs", "1"],
    "examples/fusion_and_amp.py": ["--epochs", "1", "--rounds", "1"],
    "examples/int8.py": ["--epochs", "5", "--rounds", "1"],
    "examples/problem_5.py": ["--seeds", "2"],
    "benchmarks/calls.py": ["--seconds", "0"],
    "benchmarks/concatenation.py": ["--seconds", "0"],
    "benchmarks/process.py": ["--rounds", "1", "--calls", "1", "--images", "1"],
}
NEEDS = {
    "examples/export_onnx.py": "onnxruntime",
    "benchmarks/torch_peer.py": "torch",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs Python at the top of the repository, where `import numpy` finds one without aliases."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(NUMPY_124)
    path = os.pathsep.join([str(folder), str(ROOT)])

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=str(ROOT),
            env=dict(os.environ, PYTHONPATH=path),
            timeout=300,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
        assert done.returncode == 0, done.stderr
        assert "%|" not in done.stderr  # no bars, as there is no terminal
        return done.stdout

    return run


@pytest.mark.parametrize("file", FILES)
def test_it_runs(file, run):
    library = NEEDS.get(file)
    if library and importlib.util.find_spec(library) is None:
        pytest.skip(f"{file} needs {library}, which is not installed")
    folder, _, name = file[: -len(".py")].partition("/")
    if file in IMPORTED:
        run("-c", f"import sys; sys.path.insert(0, {folder!r}); import {name}")
        return
    printed = run(file, *SHORTENED.get(file, []))
    expected = ROOT / folder / "expected" / f"{name}.txt"
    if expected.exists():
        assert printed.strip("\n") == expected.read_text().strip("\n")
    else:
        assert printed


def test_the_tables_name_files_that_are_there():
    assert set(FILES) >= {*IMPORTED, *SHORTENED, *NEEDS}


def test_a_module_that_imports_mxnet_first_is_noticed(run):
    with pytest.raises(AssertionError, match="AttributeError.*bool"):
        run("-c", "import mxnet, mxconv")


def test_an_example_runs_as_a_module(run):
    assert run("-m", "examples.cell_2") == run("examples/cell_2.py")


def test_export_onnx_says_what_to_install(run):
    hidden = "import sys; sys.modules['onnx'] = None; sys.path.insert(0, 'examples')\n"
    with pytest.raises(AssertionError) as failed:
        run("-c", hidden + "import export_onnx")
    (line,) = [line for line in str(failed.value).splitlines() if "export_onnx" in line]
    assert line.endswith(f'run  {sys.executable} -m pip install "mxconv[onnx]"')
    assert "Traceback" not in str(failed.value)

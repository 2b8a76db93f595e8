"""Every file of examples/ and benchmarks/ runs in a process of its own, as a user starts it.

Options shorten the long scripts. Modules that other scripts import are only imported. NumPy lacks
the aliases that it dropped in 1.24, so MXNet can't be imported before mxconv.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from helpers import NUMPY_124, slow_but

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("examples", "benchmarks")
    for path in (ROOT / folder).glob("*.py")
)
CELLS = [file for file in FILES if file.startswith("examples/cell_")]
# Only imported here: modules that aren't scripts, and scripts that other tests run.
IMPORTED = {
    "examples/__init__.py": "for `python -m examples.cell_2`",
    "examples/digits.py": "test_examples.py",
    "examples/digits_distributed.py": "test_distributed.py",
    "examples/launch.py": "test_distributed.py",
    "examples/onnx_in_torch.py": "test_examples.py",
    "examples/page.py": "test_page.py",
    "examples/run_all.py": "test_examples.py",
    "benchmarks/bad_input.py": "test_bad_input.py",
    "benchmarks/cases.py": "the convolutions",
    "benchmarks/convolutions.py": "test_benchmarks.py",
    "benchmarks/measure.py": "convolutions.py's measurements",
    "benchmarks/measure_constant.py": "constant.py's measurements",
    "benchmarks/measure_networks.py": "networks.py's measurements",
    "benchmarks/networks.py": "test_benchmarks.py",
    "benchmarks/networks_report.py": "the tables of networks.py",
    "benchmarks/pages.py": "what all tables share",
    "benchmarks/peer.py": "PyTorch's process",
    "benchmarks/report.py": "the tables",
    "benchmarks/settings.py": "the environments",
    "benchmarks/timing.py": "the clock",
    "benchmarks/torch_networks.py": "PyTorch's side of networks.py",
    "benchmarks/torch_peer.py": "PyTorch's side of convolutions.py",
    "benchmarks/wrong_values.py": "the cases of bad_input.py",
    "benchmarks/zoo.py": "the networks",
}
SHORTENED = {
    "examples/digits_multi_device.py": ["--epochs", "1"],
    "examples/export_onnx.py": ["--epochs", "1"],
    "examples/for_inference.py": ["--steps", "1", "--seconds", "0.01"],
    "examples/fusion_and_amp.py": ["--epochs", "1", "--rounds", "1"],
    "examples/int8.py": ["--epochs", "5", "--rounds", "1"],
    "examples/leave_mxnet.py": ["--steps", "1"],
    "examples/problem_5.py": ["--seeds", "2"],
    "benchmarks/calls.py": ["--seconds", "0"],
    "benchmarks/constant.py": ["--seconds", "0.001", "--groups", "SSD heads", "the chapter"],
    "benchmarks/concatenation.py": ["--seconds", "0"],
    "benchmarks/process.py": ["--rounds", "1", "--calls", "1", "--images", "1"],
}
NEEDS = {
    "examples/export_onnx.py": "onnxruntime",
    "examples/leave_mxnet.py": "onnxruntime",
    "benchmarks/torch_networks.py": "onnx2torch",
    "benchmarks/torch_peer.py": "torch",
}
COMMANDS = [  # with options or without any; the cells hold the book's code and read no arguments
    file
    for file in FILES
    if "__main__" in (ROOT / file).read_text(encoding="utf-8")
    and file not in CELLS
    and not file.startswith("benchmarks/torch_")  # only other scripts start these
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs Python at the top of the repository, with a NumPy that lacks the old aliases."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(NUMPY_124)
    path = os.pathsep.join([str(folder), str(ROOT)])

    def run(*arguments, status=0):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=str(ROOT),
            env=dict(os.environ, PYTHONPATH=path),
            timeout=300,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        assert "%|" not in done.stderr  # no progress bars without a terminal
        return done.stdout if status == 0 else done.stderr

    return run


def skip_without_library(file):
    library = NEEDS.get(file)
    if library and importlib.util.find_spec(library) is None:
        pytest.skip(f"{file} needs {library}, which is not installed")


@pytest.mark.parametrize("file", slow_but(FILES, *CELLS))
def test_a_file_runs(file, run):
    skip_without_library(file)
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


@pytest.mark.slow
@pytest.mark.parametrize("file", COMMANDS)
def test_a_command_rejects_an_unknown_option(file, run):
    skip_without_library(file)
    message = run(file, "--no-such-option", status=2)
    assert "error:" in message and "Traceback" not in message


def test_the_tables_name_files_that_exist():
    assert set(FILES) >= {*IMPORTED, *SHORTENED, *NEEDS}


def test_a_module_that_imports_mxnet_first_is_noticed(run):
    with pytest.raises(AssertionError, match="AttributeError.*bool"):
        run("-c", "import mxnet, mxconv")


@pytest.mark.slow
def test_an_example_runs_as_a_module(run):
    assert run("-m", "examples.cell_2") == run("examples/cell_2.py")


@pytest.mark.slow
def test_export_onnx_says_what_to_install(run):
    hidden = "import sys; sys.modules['onnx'] = None; sys.path.insert(0, 'examples')\n"
    message = run("-c", hidden + "import export_onnx", status=1)
    (line,) = [line for line in message.splitlines() if "export_onnx" in line]
    assert line.endswith(f'run  {sys.executable} -m pip install "mxconv[onnx]"')
    assert "Traceback" not in message

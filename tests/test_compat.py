"""The environments MXNet can run in, the aliases it needs, and the line shown where it can't."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from helpers import NUMPY_124
from mxconv import _compat

import numpy as np
import pytest

SCRIPT = Path(_compat.__file__)


def run(*arguments, path=""):
    """Run Python in a child process, with the folder `path` on its search path."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(path), str(SCRIPT.parents[1])]))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment,
        timeout=120,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "version, suits",
    [
        ((2, 7), False),
        ((3, 7), False),
        ((3, 8), True),
        ((3, 11), True),
        ((3, 12), True),
        ((3, 13), False),
        ((4, 0), False),
    ],
)
def test_python_problem(version, suits):
    problem = _compat.python_problem(version)
    assert (problem is None) == suits
    assert suits or "this is Python {}.{}:".format(*version) in problem


@pytest.mark.parametrize(
    "version, suits",
    [
        ("1.17.3", True),
        ("1.23.5", True),
        ("1.26.4", True),
        ("2.0.0rc1", False),
        ("2.4.1", False),
        ("10.0", False),
    ],
)
def test_numpy_problem(version, suits):
    problem = _compat.numpy_problem(version, (3, 11))
    assert (problem is None) == suits
    assert suits or f"this is NumPy {version}:" in problem


@pytest.mark.parametrize(
    "python, bounds",
    [
        ((3, 8), ">=1.17,<1.24"),
        ((3, 11), ">=1.17,<1.24"),
        ((3, 12), ">=1.26,<2"),
    ],
)
@pytest.mark.parametrize("version", [None, "2.1.0"])
def test_numpy_problem_names_the_bounds_for_this_python(version, python, bounds):
    problem = _compat.numpy_problem(version, python)
    assert problem.endswith(f'run  python -m pip install "numpy{bounds}"')


@pytest.mark.parametrize(
    "version, suits",
    [
        (None, False),
        ("1.7.0.post2", False),
        ("1.8.0", False),
        ("1.9", False),
        ("1.9.0", False),
        ("1.9.1", True),
        ("1.9.1.post0", True),
        ("1.10.0", True),
        ("2.0.0b1", False),
    ],
)
def test_mxnet_problem(version, suits):
    problem = _compat.mxnet_problem(version)
    assert (problem is None) == suits
    assert suits or ("none is installed" if version is None else f"MXNet {version}:") in problem


@pytest.mark.parametrize(
    "library, packages",
    [
        ("libgomp.so.1", "libgomp1 libquadmath0 "),
        ("libquadmath.so.0", "libgomp1 libquadmath0 "),
        ("libgfortran.so.5", "libgomp1 libquadmath0 libgfortran5 "),
    ],
)
def test_library_problem_names_the_library_and_its_packages(library, packages):
    message = f"{library}: cannot open shared object file: No such file or directory"
    problem = _compat.library_problem(message)
    assert f"system library {library}," in problem
    assert f"apt-get install {packages}" in problem


@pytest.mark.parametrize("library", ["libarmpl_lp64_mp.so", "libamath.so", "libastring.so"])
def test_library_problem_says_what_arm64_needs(library):
    message = f"{library}: cannot open shared object file: No such file or directory"
    assert "Arm Performance Libraries" in _compat.library_problem(message)


@pytest.mark.parametrize(
    "message",
    [
        "libcudnn.so.8: cannot open shared object file: No such file or directory",
        "libgomp.so.1: file too short",
    ],
)
def test_library_problem_leaves_other_errors_alone(message):
    assert _compat.library_problem(message) is None


def test_distutils_problem():
    assert _compat.distutils_problem(True) is None
    assert "pip install setuptools" in _compat.distutils_problem(False)


def test_every_problem_is_one_line():
    problems = [
        _compat.python_problem((3, 13)),
        _compat.distutils_problem(False),
        _compat.numpy_problem("2.1.0", (3, 11)),
        _compat.mxnet_problem(None),
        _compat.library_problem("libgomp.so.1: cannot open shared object file"),
        _compat.library_problem("libamath.so: cannot open shared object file"),
    ]
    assert all(len(problem.splitlines()) == 1 for problem in problems)


def test_add_aliases_sets_the_builtins_that_are_missing():
    module = SimpleNamespace(int="its own")
    _compat.add_aliases(module)
    assert module.bool is bool
    assert module.int == "its own"


def test_the_aliases_of_numpy_1_20_to_1_23_are_left_alone():
    version = _compat.release(np.__version__)
    own = (1, 20) <= version < (1, 24)  # they come, with a warning, from a function of NumPy's
    assert ("bool" in vars(np) and "int" in vars(np)) != own


@pytest.mark.slow
def test_mxnet_runs_on_a_numpy_without_the_aliases():
    """NumPy 1.24 to 1.26 has neither alias; an older one is made so in the child process."""
    use = """
import mxconv, mxnet
assert numpy.bool is bool and numpy.int is int
mxnet.test_utils.assert_almost_equal(mxnet.nd.ones((2, 2)) + 1, numpy.full((2, 2), 2))
"""
    without = run("-c", NUMPY_124 + "import mxnet")
    assert without.returncode == 1 and "AttributeError" in without.stderr
    done = run("-c", NUMPY_124 + use)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_script_is_silent_where_all_is_well():
    done = run(SCRIPT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# The environments that are refused: a package of the name and a few lines stands in for the one
# that must not be there, so that the tests need no environment of their own for each.
REFUSED = [
    ("numpy", "__version__ = '2.1.3'", "this is NumPy 2.1.3: run "),
    (
        "numpy",
        "raise ModuleNotFoundError(name='numpy')",
        "NumPy below 2, but none is installed: run ",
    ),
    (
        "mxnet",
        "raise ModuleNotFoundError(name='mxnet')",
        "MXNet 1.9.1, but none is installed: run ",
    ),
    ("mxnet", "__version__ = '1.8.0'", "this is MXNet 1.8.0: run "),
    (
        "mxnet",
        "raise OSError('libgomp.so.1: cannot open shared object file: No such file')",
        "library libgomp.so.1, but it wasn't found: run  apt-get install libgomp1 libquadmath0",
    ),
]


@pytest.mark.parametrize("package, source, line", REFUSED)
def test_a_refused_environment_gives_one_line(tmp_path, package, source, line):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(source)

    script = run(SCRIPT, path=tmp_path)
    assert (script.returncode, script.stdout) == (1, "")
    assert len(script.stderr.splitlines()) == 1
    assert line in script.stderr

    importing = run("-c", "import mxconv", path=tmp_path)
    assert importing.returncode == 1
    assert importing.stderr.splitlines()[-1] == "ImportError: " + script.stderr.strip()
    assert "During handling" not in importing.stderr


@pytest.mark.parametrize(
    "error",
    [
        "OSError('libcudnn.so.8: cannot open shared object file')",
        "ModuleNotFoundError(name='requests')",
    ],
)
def test_other_errors_of_mxnet_pass_through(tmp_path, error):
    (tmp_path / "mxnet.py").write_text("raise " + error)
    done = run("-c", "import mxconv", path=tmp_path)
    assert re.match(error.split("(")[0], done.stderr.splitlines()[-1])

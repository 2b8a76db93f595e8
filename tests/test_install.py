"""The package's metadata, and how `make` finds a Python. Nothing here uses the network."""

import os
import re
import shutil
import stat
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import mxconv
from mxconv import _compat

ROOT = Path(__file__).resolve().parents[1]
BUILD = {"wheel": ["bdist_wheel"], "sdist": ["sdist"]}
PYTHONS = ["3.8", "3.9", "3.10", "3.11", "3.12"]
EXTRAS = ["plot", "examples", "gluoncv", "onnx", "lint", "test", "test-plain"]


@pytest.fixture(scope="module")
def egg_info(tmp_path_factory):
    """The metadata that setup.py makes, in a folder of its own."""
    folder = tmp_path_factory.mktemp("metadata")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(folder)],
        cwd=str(ROOT),
        check=True,
        timeout=120,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return folder / "mxconv.egg-info"


@pytest.fixture(scope="module")
def metadata(egg_info):
    return Distribution.at(egg_info)


def applying(lines, python, extra=""):
    """{name: bounds} of the requirements among `lines` that apply to `python` and `extra`."""
    environment = {"python_version": python, "extra": extra}
    requirements = [Requirement(line) for line in lines]
    return {
        requirement.name: requirement.specifier
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }


def listed():
    """The requirements in requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_version_and_python(metadata):
    assert metadata.version == mxconv.__version__
    assert metadata.metadata["Name"] == "mxconv"
    bounds = set(metadata.metadata["Requires-Python"].split(","))
    assert bounds == {">=3.8", "<3.13"}


@pytest.mark.parametrize("python", PYTHONS + ["3.13"])
def test_requirements_txt_is_what_is_installed_and_pytest(metadata, python):
    installed = applying(metadata.requires, python)
    expected = applying(listed(), python)
    expected.pop("pytest")
    assert installed == expected


@pytest.mark.parametrize("python", PYTHONS)
def test_at_run_time_only_mxnet_and_numpy(metadata, python):
    """And setuptools, on 3.12, for the distutils that MXNet imports."""
    needed = {"mxnet", "numpy"} | ({"setuptools"} if python == "3.12" else set())
    assert set(applying(metadata.requires, python)) == needed


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_repeats_the_bound_on_numpy(metadata, extra, python):
    of_extra = [line for line in metadata.requires if "extra ==" in line]
    bound = applying(of_extra, python, extra)["numpy"]
    assert bound == applying(listed(), python)["numpy"]
    assert not bound.contains("2.0.0")


def test_no_other_extras(metadata):
    assert set(metadata.metadata.get_all("Provides-Extra")) == set(EXTRAS)


@pytest.mark.parametrize("python", PYTHONS)
def test_messages_give_the_bounds_of_requirements_txt(python):
    bounds = applying(listed(), python)
    version = tuple(map(int, python.split(".")))
    for name, problem in [
        ("numpy", _compat.numpy_problem(None, version)),
        ("mxnet", _compat.mxnet_problem(None)),
    ]:
        advised = Requirement(re.search('pip install "(.+)"', problem)[1])
        assert (advised.name, advised.specifier) == (name, bounds[name])


def test_source_distribution_is_complete(egg_info):
    files = set((egg_info / "SOURCES.txt").read_text().splitlines())
    assert {
        "LICENSE",
        "NOTICE",
        "requirements.txt",
        "Makefile",
        "tools/find_python",
        "tests/test_install.py",
        "examples/run_all.py",
        "examples/expected/cell_1.txt",
        "mxconv/reference.py",
    } <= files


USE = """
import sys
from pathlib import Path
import mxconv
from mxconv import draw
from mxnet import nd
assert Path(sys.argv[1]) in Path(mxconv.__file__).parents, mxconv.__file__
layer = mxconv.MultiChannelConv2D(1, kernel_size=2, use_bias=False)
layer.initialize("ones")
X = nd.array([[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
print(layer(X.expand_dims(0)).asnumpy().tolist())
print(draw.page(X, nd.ones((1, 2, 2, 2)), "page.html"))
"""


def run(*command, cwd):
    done = subprocess.run(
        command,
        cwd=str(cwd),
        timeout=300,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_built_can_be_installed_and_used(kind, tmp_path):
    """Away from the checkout, with the packages that are here."""
    ours = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "output")
    shutil.copytree(str(ROOT), str(tmp_path / "source"), ignore=ours)
    run(sys.executable, "setup.py", "-q", *BUILD[kind], "-d", "..", cwd=tmp_path / "source")
    shutil.rmtree(str(tmp_path / "source"))
    (built,) = tmp_path.glob("mxconv-*.*")
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    target = tmp_path / "installed"
    run(
        *(sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(built)),
        cwd=tmp_path,
    )
    code = f"import sys; sys.path.insert(0, {str(target)!r}){USE}"
    printed = run(sys.executable, "-I", "-c", code, str(target), cwd=tmp_path)
    assert "[[[[20.0, 28.0], [44.0, 52.0]]]]" in printed
    assert "<script>" in (tmp_path / "page.html").read_text(encoding="utf-8")


REAL = 'exec "%s" "$@"' % sys.executable
# Runs what it is given on the real Python, which says that it is 3.13.
TOO_NEW = 'exec "%s" -c "import sys; sys.version_info = (3, 13, 0); exec(sys.argv[1])" "$2"' % (
    sys.executable
)
# As a pyenv shim of a version that is not switched on.
BROKEN = 'echo "command not found" >&2; exit 127'
MISSING = "mxconv needs Python 3.8 to 3.12 with venv and pip; found: "


def find_python(folder, commands, *arguments):
    """Run tools/find_python where PATH holds `commands` ({name: shell line}) and nothing else."""
    for name, line in commands.items():
        command = folder / name
        command.write_text("#!/bin/sh\n" + line + "\n")
        command.chmod(stat.S_IRWXU)
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "tools" / "find_python"), *arguments],
        env=dict(os.environ, PATH=str(folder)),
        timeout=60,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "commands",
    [
        {"python3": REAL},
        {"python": REAL},
        {"python3": TOO_NEW, "python": TOO_NEW, "python3.11": REAL},
        {"python3": BROKEN, "python3.11": BROKEN, "python3.8": REAL},
    ],
    ids=["python3", "python", "beside a newer one", "beside broken ones"],
)
def test_find_python_takes_the_first_that_suits(tmp_path, commands):
    assert find_python(tmp_path, commands) == (0, sys.executable + "\n", "")


@pytest.mark.parametrize(
    "commands, found",
    [
        ({"python3": TOO_NEW, "python": TOO_NEW}, "python3 is 3.13, python is 3.13."),
        ({"python3": TOO_NEW, "python3.12": BROKEN}, "python3 is 3.13."),
        ({}, "none of python3 python python3.11 python3.10 python3.9 python3.12 python3.8."),
    ],
    ids=["newer ones", "a newer one and a broken one", "none"],
)
def test_find_python_says_what_it_found(tmp_path, commands, found):
    code, out, err = find_python(tmp_path, commands)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1 and err.startswith(MISSING + found)


def test_find_python_asked_for_one_takes_no_other(tmp_path):
    commands = {"python3": REAL, "mine": TOO_NEW}
    code, out, err = find_python(tmp_path, commands, "mine")
    assert (code, out) == (1, "") and err.startswith(MISSING + "mine is 3.13.")
    assert find_python(tmp_path, commands, sys.executable) == (0, sys.executable + "\n", "")


def make_venv(venv, *arguments):
    return subprocess.run(
        ["/bin/sh", str(ROOT / "tools" / "make_venv"), str(venv), *arguments],
        timeout=120,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def test_make_venv_replaces_one_that_does_not_work_and_keeps_one_that_does(tmp_path):
    venv = tmp_path / "venv"
    python = venv / "bin" / "python"
    mark = venv / "mark"
    python.parent.mkdir(parents=True)
    python.symlink_to(tmp_path / "a Python that is gone")
    mark.touch()

    assert make_venv(venv, sys.executable).returncode == 0
    assert not mark.exists()
    assert subprocess.run([str(python), "-c", "import pip"], timeout=60).returncode == 0

    mark.touch()
    for arguments in [(), (sys.executable,), (str(python),)]:
        assert make_venv(venv, *arguments).returncode == 0
        assert mark.exists()


def test_make_venv_leaves_it_alone_where_the_python_asked_for_is_not_there(tmp_path):
    (tmp_path / "mark").touch()
    done = make_venv(tmp_path, str(tmp_path / "python"))
    assert done.returncode == 1 and done.stderr.startswith(MISSING)
    assert (tmp_path / "mark").exists()

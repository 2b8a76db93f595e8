"""The Dockerfile, and tools/try_dockerfile, which runs its steps without a Docker engine.

What needs root and the network is left to the tool itself; here is what it reads.
"""

import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from mxconv import _compat

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools" / "try_dockerfile"


@pytest.fixture(scope="module")
def tool():
    loader = SourceFileLoader("try_dockerfile", str(TOOL))  # without a suffix it needs naming
    module = module_from_spec(spec_from_loader(loader.name, loader))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


@pytest.fixture
def image(tool, tmp_path):
    return tool.Image(tmp_path)


def dockerfile(tool):
    return tool.steps((ROOT / "Dockerfile").read_text())


def test_continued_lines_are_one_step_and_comments_none(tool):
    text = "# one\nFROM base\n\nRUN one \\\n    && two \\\n    && three\nCOPY . .\n"
    assert tool.steps(text) == [
        ["FROM", "base"],
        ["RUN", "one && two && three"],
        ["COPY", ". ."],
    ]


def test_every_step_is_known(tool):
    assert [step[0] for step in dockerfile(tool)] == "FROM RUN WORKDIR COPY RUN CMD".split()


def test_the_libraries_that_mxnet_asks_for_are_installed(tool):
    asked = _compat.library_problem("libgomp.so.1: cannot open shared object file")
    packages = asked.split("apt-get install ")[1].split("  ")[0].split()
    assert set(packages) <= set(dockerfile(tool)[1][1].split())


def test_the_command_is_make_book(tool, image):
    (command,) = [rest for name, rest in dockerfile(tool) if name == "CMD"]
    image.CMD(command)
    assert image.command == ["make", "book"]


@pytest.mark.parametrize(
    "path, ignored",
    [
        (".venv", True),
        (".git", True),
        ("examples/output", True),
        ("mxconv/draw/__pycache__", True),
        ("mxconv.egg-info", True),
        (".pytest_cache", True),
        ("examples/expected", False),
        ("requirements.txt", False),
        ("docs/output", False),
    ],
)
def test_what_stays_out_of_the_image(tool, path, ignored):
    patterns = (ROOT / ".dockerignore").read_text().splitlines()
    assert any(tool.names_it(pattern, Path(path)) for pattern in patterns) == ignored


def test_copy_brings_the_checkout(image, tmp_path):
    image.WORKDIR("/mxconv")
    image.COPY(". .")
    assert (tmp_path / "mxconv" / "examples" / "run_all.py").is_file()
    assert os.access(str(tmp_path / "mxconv" / "tools" / "make_venv"), os.X_OK)
    assert not (tmp_path / "mxconv" / ".git").exists()


@pytest.mark.parametrize(
    "instruction, rest",
    [("FROM", "debian:bookworm"), ("FROM", "python:3.11"), ("COPY", "--chown=1 . .")],
)
def test_what_the_tool_does_not_know_is_refused(image, instruction, rest):
    with pytest.raises(SystemExit, match="expected .*, received " + rest):
        getattr(image, instruction)(rest)


@pytest.mark.parametrize(
    "user, found, advice",
    [(1000, "/usr/sbin/debootstrap", "sudo"), (0, None, "apt-get install debootstrap")],
)
def test_the_tool_says_what_it_needs(tool, monkeypatch, user, found, advice):
    monkeypatch.setattr(tool.os, "geteuid", lambda: user)
    monkeypatch.setattr(tool.shutil, "which", lambda name: found)
    with pytest.raises(SystemExit, match=advice):
        tool.main()


def test_an_unknown_instruction_ends_the_run_and_the_folder_is_removed(tool, monkeypatch, tmp_path):
    (tmp_path / "Dockerfile").write_text("WORKDIR /here\nENV A=1\n")
    (tmp_path / "folders").mkdir()
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool.os, "geteuid", lambda: 0)
    monkeypatch.setattr(tool.shutil, "which", lambda name: name)
    monkeypatch.setattr(tool.signal, "signal", lambda *_: None)
    monkeypatch.setattr(tool.tempfile, "tempdir", str(tmp_path / "folders"))
    with pytest.raises(SystemExit, match="knows no ENV"):
        tool.main()
    assert not list((tmp_path / "folders").iterdir())

"""Files are written whole or not at all, and a path that can't be written to is refused at once."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from mxconv._paths import writable, write, write_together

import pytest

NOBODY = 65534


@contextmanager
def not_root():
    """Root may write anywhere, so these tests do it as somebody else."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def directory():
    """An empty directory, in one that everybody may read: those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def names(directory):
    return [path.name for path in directory.iterdir()]


def test_a_file_is_written_and_replaced(directory):
    for data in (b"first", b"second"):
        write(directory / "file", data)
        assert (directory / "file").read_bytes() == data and names(directory) == ["file"]


def test_a_write_that_fails_leaves_the_old_files(directory, monkeypatch):
    files = {directory / "a": b"old", directory / "b": b"old"}
    write_together(files)

    def full(*paths):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_together(dict.fromkeys(files, b"new"))
    assert {path: path.read_bytes() for path in directory.iterdir()} == files


def test_a_file_that_is_replaced_keeps_its_permissions(directory):
    path = directory / "file"
    path.touch()
    path.chmod(0o640)
    write(path, b"new")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_name_may_be_as_long_as_files_may_have(directory):
    path = writable(directory / ("n" * 250 + ".json"), (".json",))
    write(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_link_stays_one(directory):
    link, file = directory / "link.json", directory / "file"
    link.symlink_to(file)
    write(writable(link, (".json",)), b"new")
    assert link.is_symlink() and file.read_bytes() == b"new"


def test_nothing_stays_beside_two_links_to_the_same_file(directory):
    links = directory / "a", directory / "b"
    for link in links:
        link.symlink_to(directory / "file")
    write_together(dict.fromkeys(links, b"new"))
    assert sorted(names(directory)) == ["a", "b", "file"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("file.txt", "expected a path that ends in .json or .svg, received path="),
        ("none/file.svg", "there is no directory '.*none' to write to, received path="),
        ("to_nowhere.svg", "there is no directory '.*none' to write to, received path="),
        ("directory.svg", "expected the path of a file, not of a directory, received path="),
        ("to_directory.svg", "expected the path of a file, not of a directory, received path="),
        ("to_device.svg", "expected the path of a file, not of a device or pipe, received path="),
        ("pipe.svg", "expected the path of a file, not of a device or pipe, received path="),
        ("to_itself.svg", "[Ll]oop from '.*to_itself.svg', received path="),
        ("null\0.svg", "embedded null byte, received path="),
    ],
)
def test_what_is_refused(name, message, directory):
    (directory / "directory.svg").mkdir()
    (directory / "to_nowhere.svg").symlink_to(directory / "none" / "file")
    (directory / "to_directory.svg").symlink_to(directory / "directory.svg")
    (directory / "to_device.svg").symlink_to(os.devnull)
    (directory / "to_itself.svg").symlink_to(directory / "to_itself.svg")
    os.mkfifo(directory / "pipe.svg")
    with pytest.raises(ValueError, match=message):
        writable(directory / name, (".json", ".svg"))


@pytest.mark.parametrize("protected", ["directory", "file"])
def test_without_permission_it_is_refused_before_any_work(protected, directory):
    path = directory / "file.json"
    path.touch()
    directory.chmod(0o555 if protected == "directory" else 0o777)
    path.chmod(0o444 if protected == "file" else 0o666)
    place = directory if protected == "directory" else path
    with not_root(), pytest.raises(PermissionError, match=f"to write to '{place}', received path="):
        writable(path, (".json",))
    directory.chmod(0o755)

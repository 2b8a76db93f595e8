"""Paths of files to write: checked before any work is done, and written atomically."""

import os
import shutil
from pathlib import Path
from threading import get_ident
from typing import Any, Mapping, Sequence

from . import _checks

EFFECTIVE = os.access in os.supports_effective_ids  # not on Windows


def as_path(path: Any) -> Path:
    """Return `path` as a `Path`; raise a TypeError unless it is a string or a path."""
    return Path(_checks.instance("path", path, (str, os.PathLike), "a str or Path"))


def writable(path: Any, suffixes: Sequence[str]) -> Path:
    """Return `path` as a `Path`, which must have one of these suffixes and an existing directory.

    Raises
    ------
    TypeError
        `path` is neither a string nor a path.
    ValueError
        Another suffix, a missing directory, a path of something else than a file, such as a
        directory or a device, or one that no file can have.
    PermissionError
        The directory, or the file that is there, may not be written to.
    """
    path, received = as_path(path), f"received path={path!r}"
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"expected a path that ends in {' or '.join(suffixes)}, {received}")
    try:
        file = path.resolve()  # through a link, which stays one
    except (RuntimeError, ValueError) as error:  # a link to itself, a character that none may hold
        raise ValueError(f"{error}, {received}") from error
    if not file.parent.is_dir():
        raise ValueError(f"there is no directory {str(file.parent)!r} to write to, {received}")
    if file.exists() and not file.is_file():  # which a new file would replace
        kind = "directory" if file.is_dir() else "device or pipe"
        raise ValueError(f"expected the path of a file, not of a {kind}, {received}")
    for place in (file.parent, file):
        if place.exists() and not os.access(place, os.W_OK, effective_ids=EFFECTIVE):
            raise PermissionError(f"there is no permission to write to {str(place)!r}, {received}")
    return path


def write(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader sees the old file or the new one, never a part of it."""
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together: each atomically, and none if one can't be written."""
    beside = {}
    try:
        for number, (path, data) in enumerate(files.items()):
            path = path.resolve()
            written = path.with_name(f".mxconv-{os.getpid()}-{get_ident()}-{number}")
            beside[written] = path  # two links may lead to the same
            written.write_bytes(data)
            if path.exists():
                shutil.copymode(path, written)
        for written, path in beside.items():
            os.replace(written, path)
    except BaseException:
        for written in beside:
            written.unlink(missing_ok=True)
        raise

"""Where a file goes: a path that is checked before the work, and written all at once."""

import os
from pathlib import Path
from threading import get_ident

from . import _checks


def as_path(path):
    """`path` as a `Path`; TypeError if it is neither a string nor a path."""
    return Path(_checks.instance("path", path, (str, os.PathLike), "a str or Path"))


def writable(path, suffixes):
    """`path` as a `Path` with one of `suffixes`, in a directory that exists.

    Raises
    ------
    TypeError
        Neither a string nor a path.
    ValueError
        Another suffix, no such directory, or the path of a directory.
    """
    path, received = as_path(path), f"received path={path!r}"
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"expected a path that ends in {' or '.join(suffixes)}, {received}")
    if not path.parent.is_dir():
        raise ValueError(f"there is no directory {str(path.parent)!r} to write to, {received}")
    if path.is_dir():
        raise ValueError(f"expected the path of a file, not of a directory, {received}")
    return path


def write(path, data):
    """Write bytes to `path`: a reader sees the old file or the new one, never a part."""
    path = path.resolve()  # behind a link
    beside = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise

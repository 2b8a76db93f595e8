"""What MXNet 1.9.1 needs before it is imported, and a one-line error where it can't run.

Each ``*_problem`` function judges what it is given and returns that line, or None if all is well.
Importing this module applies them all, then imports MXNet. Run as a script, it only reports: it
prints nothing and exits with status 0, or prints the line on standard error and exits with
status 1.
"""

import importlib
import importlib.util
import re
import sys
import warnings
from types import ModuleType
from typing import Dict, Optional, Tuple

Version = Tuple[int, ...]

ALIASES: Dict[str, type] = {"bool": bool, "int": int}


def python_problem(version: Version) -> Optional[str]:
    """Judge a Python version, such as (3, 11)."""
    if (3, 8) <= version <= (3, 12):
        return None
    return (
        f"mxconv needs Python 3.8 to 3.12, but this is Python {version[0]}.{version[1]}: "
        "create an environment with one of them, for example  python3.11 -m venv .venv"
    )


def distutils_problem(found: bool) -> Optional[str]:
    """Judge whether the module ``distutils``, which MXNet imports, was found."""
    if found:
        return None
    return (
        "MXNet needs distutils, which on Python 3.12 comes with setuptools: run  "
        "python -m pip install setuptools"
    )


def numpy_problem(version: Optional[str], python: Version) -> Optional[str]:
    """Judge a NumPy version, None if there is none, for a Python version."""
    if version is not None and release(version) < (2,):
        return None
    bounds = ">=1.17,<1.24" if python < (3, 12) else ">=1.26,<2"
    found = "none is installed" if version is None else f"this is NumPy {version}"
    return f'MXNet needs NumPy below 2, but {found}: run  python -m pip install "numpy{bounds}"'


def library_problem(message: str) -> Optional[str]:
    """Judge the message of an OSError raised while MXNet's library was loading."""
    if re.match(r"lib(armpl_lp64_mp|amath|astring)\.so: cannot open shared", message):
        return (
            "MXNet's package for arm64 needs the Arm Performance Libraries, but they weren't "
            "found: install them from Arm, and add the folder of their libraries to LD_LIBRARY_PATH"
        )
    missing = re.search(r"(lib(gomp|quadmath|gfortran)\.so[.\d]*): cannot open shared", message)
    if missing is None:
        return None
    packages = "libgomp1 libquadmath0" + " libgfortran5" * (missing[2] == "gfortran")
    return (
        f"MXNet needs the system library {missing[1]}, but it wasn't found: "
        f"run  apt-get install {packages}  or the equivalent on your system"
    )


def mxnet_problem(version: Optional[str]) -> Optional[str]:
    """Judge an MXNet version, None if there is none."""
    if version is not None and (1, 9, 1) <= release(version) < (2,):
        return None
    found = "none is installed" if version is None else f"this is MXNet {version}"
    return f'mxconv needs MXNet 1.9.1, but {found}: run  python -m pip install "mxnet>=1.9.1,<2"'


def release(version: str) -> Version:
    """Return the first three numbers of a version, to compare: (1, 9, 1) for "1.9.1.post0"."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def add_aliases(numpy: ModuleType) -> None:
    """Set ``bool`` and ``int`` on the module `numpy` if it lacks them, as NumPy 1.24 and later do.

    MXNet reads ``numpy.bool`` when it is imported, and ``numpy.int`` later. NumPy 1.20 to 1.23
    still has both, with a deprecation warning, and stays unchanged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        missing = [name for name in ALIASES if not hasattr(numpy, name)]
    for name in missing:
        setattr(numpy, name, ALIASES[name])


def imported_version(name: str) -> Optional[str]:
    """Import a module and return its version, or None if there is no such module."""
    try:
        return importlib.import_module(name).__version__
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def raise_import_error(problem: Optional[str]) -> None:
    """Raise an ImportError if there is a problem."""
    if problem is not None:
        raise ImportError(problem) from None


def import_mxnet() -> None:
    """Import MXNet, or raise an ImportError whose one line says what to do."""
    python = sys.version_info[:2]
    raise_import_error(python_problem(python))
    raise_import_error(distutils_problem(importlib.util.find_spec("distutils") is not None))
    raise_import_error(numpy_problem(imported_version("numpy"), python))
    add_aliases(sys.modules["numpy"])
    try:
        version = imported_version("mxnet")
    except OSError as error:
        raise_import_error(library_problem(str(error)))
        raise
    raise_import_error(mxnet_problem(version))


if __name__ != "__main__":
    import_mxnet()
else:
    try:
        import_mxnet()
    except ImportError as error:
        sys.exit(str(error))

"""What MXNet 1.9.1 needs before it is imported, and one clear line where it cannot run.

Each ``*_problem`` function judges what it is given and returns that line, or None. Importing this
module applies them all and imports MXNet. Run as a script, it only reports: nothing and exit
status 0, or the line on standard error and exit status 1.
"""

import importlib
import importlib.util
import re
import sys
import warnings

ALIASES = {"bool": bool, "int": int}


def python_problem(version):
    """Judge a Python version, a pair of ints."""
    if (3, 8) <= version <= (3, 12):
        return None
    return (
        f"mxconv runs on Python 3.8 to 3.12, and this is Python {version[0]}.{version[1]}: "
        "make an environment with one of these, for example  python3.11 -m venv .venv"
    )


def distutils_problem(found):
    """Judge whether the module ``distutils``, which MXNet imports, was found."""
    if found:
        return None
    return (
        "MXNet needs distutils, which Python 3.12 leaves to setuptools: run  "
        "python -m pip install setuptools"
    )


def numpy_problem(version, python):
    """Judge a NumPy version, a string or None if there is none, on a `python`, a pair of ints."""
    if version is not None and release(version) < (2,):
        return None
    bounds = ">=1.17,<1.24" if python < (3, 12) else ">=1.26,<2"
    found = "there is none" if version is None else f"this is NumPy {version}"
    return f'MXNet needs NumPy below 2, and {found}: run  python -m pip install "numpy{bounds}"'


def library_problem(message):
    """Judge the message of the OSError that loading MXNet's library raised."""
    if re.match(r"lib(armpl_lp64_mp|amath|astring)\.so: cannot open shared", message):
        return (
            "MXNet's package for arm64 needs the Arm Performance Libraries, and there are none: "
            "install them from Arm, and add their folder of libraries to LD_LIBRARY_PATH"
        )
    missing = re.search(r"(lib(gomp|quadmath|gfortran)\.so[.\d]*): cannot open shared", message)
    if missing is None:
        return None
    packages = "libgomp1 libquadmath0" + " libgfortran5" * (missing[2] == "gfortran")
    return (
        f"MXNet needs the system library {missing[1]}, and there is none: "
        f"run  apt-get install {packages}  or what your system calls these packages"
    )


def mxnet_problem(version):
    """Judge an MXNet version, a string or None if there is none."""
    if version is not None and (1, 9, 1) <= release(version) < (2,):
        return None
    found = "there is none" if version is None else f"this is MXNet {version}"
    return f'mxconv needs MXNet 1.9.1, and {found}: run  python -m pip install "mxnet>=1.9.1,<2"'


def release(version):
    """The first three numbers of a version string, for comparison: (1, 9, 1) of "1.9.1.post0"."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def add_aliases(numpy):
    """Set ``bool`` and ``int`` on the module `numpy` where it lacks them, as from 1.24 on.

    MXNet reads ``numpy.bool`` when it is imported and ``numpy.int`` later. NumPy 1.20 to 1.23 has
    both, with a warning when they are asked for; it is left as it is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        missing = [name for name in ALIASES if not hasattr(numpy, name)]
    for name in missing:
        setattr(numpy, name, ALIASES[name])


def imported_version(name):
    """The version of the module `name`, which is imported for it, or None if there is none."""
    try:
        return importlib.import_module(name).__version__
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def refuse(problem):
    """Raise `problem`, if it is one, as an ImportError."""
    if problem is not None:
        raise ImportError(problem) from None


def import_mxnet():
    """Import MXNet, or raise an ImportError of one line that says what to do."""
    python = sys.version_info[:2]
    refuse(python_problem(python))
    refuse(distutils_problem(importlib.util.find_spec("distutils") is not None))
    refuse(numpy_problem(imported_version("numpy"), python))
    add_aliases(sys.modules["numpy"])
    try:
        version = imported_version("mxnet")
    except OSError as error:
        refuse(library_problem(str(error)))
        raise
    refuse(mxnet_problem(version))


if __name__ != "__main__":
    import_mxnet()
else:
    try:
        import_mxnet()
    except ImportError as error:
        sys.exit(str(error))

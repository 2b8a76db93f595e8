"""Tests and examples on every Python that mxconv runs on, with the oldest and the newest NumPy.

`make pythons` runs them; a Python that isn't installed is left out, and nox says so.
"""

import nox

OLDEST = {  # Python: the first NumPy that setup.py admits and that has a wheel for it
    "3.8": "1.17.3",
    "3.9": "1.19.3",
    "3.10": "1.21.2",
    "3.11": "1.23.2",
    "3.12": "1.26.0",
}


@nox.session(python=list(OLDEST), venv_backend="venv")
@nox.parametrize("numpy", ["oldest", "newest"])
def tests(session, numpy):
    """The whole suite and the examples; with the oldest NumPy without ONNX and GluonCV.

    They want newer ones.
    """
    session.install("pip>=23.1")  # see tools/install
    if numpy == "oldest":
        session.install("--editable", ".[test-plain]", f"numpy=={OLDEST[session.python]}")
    else:
        session.install("--editable", ".[test]")
    session.run("python", "-c", "import numpy; print('numpy', numpy.__version__)")
    session.run("python", "-m", "pytest", *session.posargs)
    session.run("python", "examples/run_all.py")

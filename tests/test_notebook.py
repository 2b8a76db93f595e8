"""The notebook runs, and prints what is stored in it, which is what the book prints."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import mxconv

import nbformat
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture(scope="module")
def stored():
    notebook = nbformat.read(str(EXAMPLES / "channels.ipynb"), as_version=4)
    nbformat.validate(notebook)
    return notebook


def text(cell):
    """What a cell put out, as plain text."""
    return "".join(
        output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"]
        for output in cell["outputs"]
    )


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_holds_the_books_outputs(stored):
    for n, cell in enumerate(code(stored), 1):
        expected = (EXAMPLES / "expected" / f"cell_{n}.txt").read_text()
        assert text(cell).strip("\n") == expected.strip("\n")
    assert n == 7


def test_the_notebook_runs_to_the_stored_outputs(stored, tmp_path):
    # A kernel of this interpreter, whatever kernels the machine or its user has under that name.
    kernel = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
    }
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(kernel))
    environment = dict(os.environ, PYTHONPATH=str(Path(mxconv.__file__).parents[1]))
    for variable in ("JUPYTER_PATH", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        environment[variable] = str(tmp_path)

    notebook = copy.deepcopy(stored)
    for cell in code(notebook):
        cell["outputs"] = []
    notebook["cells"].append(nbformat.v4.new_code_cell("import sys; print(sys.executable)"))
    before, after = tmp_path / "before.ipynb", tmp_path / "after.ipynb"
    nbformat.write(notebook, str(before))
    # In a process of its own, as Jupyter's libraries leave sockets open, which is a warning here.
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(before), str(after)],
        timeout=300,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr

    *cells, interpreter = code(nbformat.read(str(after), as_version=4))
    assert text(interpreter).strip() == sys.executable
    assert [text(cell) for cell in cells] == [text(cell) for cell in code(stored)]


def test_the_notebook_is_stored_clean(stored):
    assert stored["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(cell["metadata"] == {} for cell in stored["cells"])
    assert [cell["execution_count"] for cell in code(stored)] == [1, 2, 3, 4, 5, 6, 7]

"""The notebook prints what the book prints, holds its figures, and opens by `make notebook`."""

import copy
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path
from urllib.request import Request, urlopen

import chromium
import mxconv

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
CHAPTER = EXAMPLES / "channels.ipynb"
LINK = re.compile(r"(!?)\[[^]]+\]\(([^)]+)\)")  # or image


@pytest.fixture(scope="module")
def stored():
    notebook = nbformat.read(str(CHAPTER), as_version=4)
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


def links(cell):
    """The targets of the images in a Markdown cell, and of its other links."""
    found = LINK.findall(cell["source"]) if cell["cell_type"] == "markdown" else []
    return [target for mark, target in found if mark], [t for mark, t in found if not mark]


def without_drawings(notebook):
    """A copy of the notebook that keeps of pictures and pages only what kinds of data they have.

    They vary with the versions of the libraries that draw them.
    """
    notebook = copy.deepcopy(notebook)
    for cell in code(notebook):
        for output in cell["outputs"]:
            if set(output.get("data", {})) > {"text/plain"}:
                output["data"] = dict.fromkeys(output["data"], "")
    return notebook


def test_the_notebook_holds_the_books_outputs(stored):
    cells = {cell["id"]: cell for cell in code(stored)}
    for n in range(1, 8):
        expected = (EXAMPLES / "expected" / f"cell_{n}.txt").read_text()
        assert text(cells[f"cell-{n}"]).strip("\n") == expected.strip("\n")


def test_the_notebook_holds_the_figures_of_the_documentation(stored):
    names = []
    for cell in stored["cells"]:
        attached = cell.get("attachments", {})
        images, others = links(cell)
        assert images == [f"attachment:{name}" for name in attached]
        assert all("//" in target or (EXAMPLES / target).is_file() for target in others)
        for name, data in attached.items():
            figure = (ROOT / "docs" / "figures" / name).read_bytes()
            assert list(data) == ["image/png"] and b64decode(data["image/png"]) == figure
        names += attached
    assert names == ["multi_in.png", "one_by_one.png", "doubling.png"]


def test_the_notebook_is_stored_clean(stored):
    assert stored["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(cell["metadata"] == {} for cell in stored["cells"])
    counts = [cell["execution_count"] for cell in code(stored)]
    assert counts == list(range(1, len(counts) + 1))
    assert not any(" at 0x" in text(cell) for cell in code(stored))  # the address of an object


def user(folder):
    """The environment of someone whose own kernels named python3 don't run, for Jupyter."""
    for name in ("path", "data"):
        kernel = folder / name / "kernels" / "python3"
        kernel.mkdir(parents=True)
        broken = {"argv": ["false"], "display_name": "Broken", "language": "python"}
        (kernel / "kernel.json").write_text(json.dumps(broken))
    return dict(
        os.environ,
        PYTHONPATH=str(Path(mxconv.__file__).parents[1]),
        JUPYTER_PATH=str(folder / "path"),
        JUPYTER_DATA_DIR=str(folder / "data"),
        JUPYTER_CONFIG_DIR=str(folder / "config"),
        JUPYTER_RUNTIME_DIR=str(folder / "runtime"),
        IPYTHONDIR=str(folder / "ipython"),
    )


def test_store_notebook_makes_the_stored_notebook(stored, tmp_path):
    """From its text alone, in a folder that has nothing else."""
    emptied = copy.deepcopy(stored)
    for cell in emptied["cells"]:
        cell.pop("attachments", None)
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    path = tmp_path / "alone" / "channels.ipynb"
    path.parent.mkdir()
    nbformat.write(emptied, str(path))
    # In a process of its own, as Jupyter's libraries leave sockets open, which is a warning here.
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "store_notebook"), str(path)],
        cwd="/",
        env=user(tmp_path),
        timeout=300,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    made = nbformat.read(str(path), as_version=4)
    assert without_drawings(made) == without_drawings(stored)


# In Jupyter


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Jupyter:
    """`make notebook` of a copy, as Jupyter saves what it has open, called in another folder.

    The Python of the tests is its environment.
    """

    def __init__(self, folder):
        copy = folder / "mxconv"
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "_build", "output")
        )
        venv, self.log = folder / "venv", folder / "log"
        (venv / "bin").mkdir(parents=True)
        python = venv / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(stat.S_IRWXU)
        (venv / "share").symlink_to(Path(sys.prefix) / "share")
        (venv / "installed-notebook").touch()
        options = f"--no-browser --allow-root --port={free_port()}"
        options += " --JupyterNotebookApp.expose_app_in_browser=True"  # for its commands
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["make", "-C", str(copy), "notebook"]
                + [f"VENV={venv}", "PYTHON=", f"ARGS={options}"],
                cwd=str(folder),
                env=user(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def address(self):
        """What it prints, once it does."""
        for _ in range(600):
            found = re.search(r"http://127\S+", self.log.read_text())
            if found or self.process.poll() is not None:
                break
            time.sleep(0.2)
        assert found, self.log.read_text()
        return found[0]

    def ask(self, path, method="GET", **data):
        server, token = re.fullmatch(r"(http://[^/]+/).+\?token=(\w+)", self.address()).groups()
        headers = {"Authorization": f"token {token}"}
        request = Request(server + path, json.dumps(data).encode(), headers, method=method)
        with urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")

    def stop(self):
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            os.killpg(self.process.pid, ending)
            try:
                return self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:  # it waits for a kernel that is busy
                continue


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    pytest.importorskip("notebook", reason="needs Jupyter: the extra mxconv[notebook]")
    if shutil.which("make") is None:
        pytest.skip("there is no make on this machine")
    jupyter = Jupyter(tmp_path_factory.mktemp("jupyter"))
    yield jupyter
    jupyter.stop()


@pytest.mark.slow
def test_make_notebook_serves_the_notebook_and_trusts_it(jupyter, stored):
    assert "/notebooks/examples/channels.ipynb?token=" in jupyter.address()
    served = jupyter.ask("api/contents/examples/channels.ipynb")["content"]
    assert [cell["source"] for cell in served["cells"]] == [c["source"] for c in stored["cells"]]
    assert all(cell["metadata"] == {"trusted": True} for cell in code(served))


@pytest.mark.slow
def test_its_kernel_is_the_environments_python(jupyter):
    psutil = pytest.importorskip("psutil")  # which ipykernel needs
    kernel = jupyter.ask("api/kernels", "POST", name="python3")
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    (command,) = (words for words in commands if kernel["id"] in " ".join(words))
    assert command[:3] == [sys.executable, "-m", "ipykernel_launcher"]
    jupyter.ask(f"api/kernels/{kernel['id']}", "DELETE")


@pytest.fixture
def browser(tmp_path):
    browser = chromium.start(tmp_path / "profile", "to open the notebook in Jupyter")
    yield browser
    browser.quit()


def wait_for(condition, seconds=60):
    """The first true value of the condition, or its last."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.2)
    return condition()


@pytest.mark.slow
@pytest.mark.browser
def test_a_browser_shows_the_figures_and_runs_the_cells(jupyter, browser, stored):
    def run(code):
        return browser.execute_script("return " + code)

    # All of it is on the screen, as what is not isn't in the document.
    screen = dict(width=1280, height=9000, deviceScaleFactor=1, mobile=False)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(jupyter.address())
    figures = sum(len(links(cell)[0]) for cell in stored["cells"])
    widths = "[...document.querySelectorAll('.jp-Notebook img')].map(img => img.naturalWidth)"
    assert wait_for(lambda: len(run(widths)) >= figures and all(run(widths)))

    def outputs():
        return run(
            "[...document.querySelectorAll('.jp-OutputArea-executeResult')].map(o => o.innerText)"
        )

    results = [output for cell in code(stored) for output in cell["outputs"]]
    results = [output for output in results if output["output_type"] == "execute_result"]
    assert wait_for(lambda: len(outputs()) == len(results)), outputs()
    expected = outputs()
    assert "56." in expected[0]
    wait_for(lambda: run("window.jupyterapp.commands.isEnabled('runmenu:run-all')"))
    run("void window.jupyterapp.commands.execute('editmenu:clear-all')")
    assert wait_for(lambda: not outputs())
    for _ in range(8):  # Jupyter forgets the command while the kernel isn't connected yet
        run("void window.jupyterapp.commands.execute('runmenu:run-all')")
        if wait_for(lambda: outputs() == expected, 20):
            break
    assert outputs() == expected
    assert wait_for(lambda: all(run(widths)))

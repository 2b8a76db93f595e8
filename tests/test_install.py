"""The package's metadata, and how `make` finds a Python and installs into it.

One test uses the network, to install uv, and is skipped where there is none.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import warnings
from collections import Counter
from html.parser import HTMLParser
from importlib.metadata import Distribution
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import mxconv
from mxconv import _compat

import pytest
import setuptools
from packaging.requirements import Requirement
from readme_renderer import markdown

ROOT = Path(__file__).resolve().parents[1]
BUILD = {"wheel": ["bdist_wheel"], "sdist": ["sdist"]}
PYTHONS = ["3.8", "3.9", "3.10", "3.11", "3.12"]
EXTRAS = ["plot", "video", "examples", "gluoncv", "notebook", "onnx", "torch"]
EXTRAS += ["lint", "docs", "test", "test-plain"]


def make_egg_info(folder, source=ROOT):
    """The metadata that setup.py in `source` makes, in `folder`: its path."""
    subprocess.run(
        [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(folder)],
        cwd=str(source),
        check=True,
        timeout=120,
        capture_output=True,
    )
    return folder / "mxconv.egg-info"


@pytest.fixture(scope="module")
def egg_info(tmp_path_factory):
    return make_egg_info(tmp_path_factory.mktemp("metadata"))


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


def test_license(metadata):
    modern = int(setuptools.__version__.split(".")[0]) >= 77
    assert metadata.metadata["License-Expression" if modern else "License"] == "Apache-2.0"
    assert metadata.metadata.get_all("License-File") == ["LICENSE", "NOTICE"]


def test_what_builds_it_is_what_the_tests_build_with(metadata):
    build = re.search(r'requires = \["setuptools(.+)"\]', (ROOT / "pyproject.toml").read_text())[1]
    of_extra = [line for line in metadata.requires if "extra ==" in line]
    assert applying(of_extra, "3.8", "test")["setuptools"] == build
    assert Requirement("setuptools" + build).specifier.contains(setuptools.__version__)


def test_pytest_is_set_by_pyproject_toml(pytestconfig):
    assert pytestconfig.inipath == ROOT / "pyproject.toml"
    with pytest.raises(UserWarning):
        warnings.warn("an error here", stacklevel=1)


ADDRESS = "https://github.com/someone/mxconv"
OF_VERSION = {kind: f"{ADDRESS}/{kind}/v{mxconv.__version__}/" for kind in ("blob", "raw", "tree")}


@pytest.fixture
def described(tmp_path):
    """Makes the metadata as it is with this address of the repository, or with none, and README."""

    def described(address, readme=None):
        for name in "setup.py pyproject.toml requirements.txt README.md CITATION.cff".split():
            shutil.copy(str(ROOT / name), str(tmp_path))
        (tmp_path / "mxconv").mkdir()
        shutil.copy(mxconv.__file__, str(tmp_path / "mxconv"))
        citation = tmp_path / "CITATION.cff"
        text = re.sub("^repository-code:.*\n", "", citation.read_text(), flags=re.MULTILINE)
        citation.write_text(text + (f"repository-code: {address}\n" if address else ""))
        if readme is not None:
            (tmp_path / "README.md").write_text(readme)
        return Distribution.at(make_egg_info(tmp_path, tmp_path)).metadata

    return described


class Rendered(HTMLParser):
    """What PyPI makes of a text in Markdown: its words, and the targets of links and images."""

    def __init__(self, text):
        super().__init__()
        self.text, self.links, self.images = "", Counter(), Counter()
        self.feed(markdown.render(text))
        self.words = self.text.split()

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            of_heading = value is not None and value.startswith("#user-content-")  # PyPI's own
            if name in ("href", "src", "srcset") and not of_heading:
                (self.links if name == "href" else self.images)[value] += 1

    def handle_data(self, data):
        self.text += data


def absolute(targets, kind=None):
    """Those that are absolute and, with a kind, the others as they become."""
    if kind is None:
        return Counter({target: n for target, n in targets.items() if urlsplit(target).scheme})
    return Counter({urljoin(OF_VERSION[kind] + "README.md", t): n for t, n in targets.items()})


@pytest.mark.parametrize("address", [None, ADDRESS, ADDRESS + "/"])
def test_an_index_shows_the_readme_without_a_broken_link_or_image(described, address):
    readme = Rendered((ROOT / "README.md").read_text(encoding="utf-8"))
    shown = Rendered(described(address).get_payload())
    assert shown.words == readme.words
    assert shown.links == absolute(readme.links, address and "blob")
    assert shown.images == absolute(readme.images, address and "raw")
    assert all(urlsplit(target).scheme == "https" for target in shown.links + shown.images)


def test_the_readme_links_to_files_that_are_there():
    readme = Rendered((ROOT / "README.md").read_text(encoding="utf-8"))
    targets = [urlsplit(target) for target in readme.links + readme.images]
    paths = [target.path for target in targets if not target.scheme]
    assert paths and [path for path in paths if not (ROOT / path).exists()] == []


MARKDOWN = """\
[a](docs/a.md) and [`b[0](c)`](b.md#b), [up](#top), [far](https://example.org/x).
![i](i.png)[![badge](https://example.org/b.svg)](https://example.org/) [![k](k.png)](k.md)[](l.md)
`x[0](y)`
```
x[0](y) and ![z](z.png)
```
"""


def test_links_that_an_index_cannot_follow_become_their_text(described):
    assert described(None, MARKDOWN).get_payload().strip().splitlines() == [
        "a and `b[0](c)`, up, [far](https://example.org/x).",
        "[![badge](https://example.org/b.svg)](https://example.org/) ",
        *MARKDOWN.splitlines()[2:],
    ]


def test_links_are_to_the_tag_of_the_version(described):
    blob, raw = OF_VERSION["blob"], OF_VERSION["raw"]
    badge = "[![badge](https://example.org/b.svg)](https://example.org/)"
    links = f"[a]({blob}docs/a.md) and [`b[0](c)`]({blob}b.md#b), [up]({blob}README.md#top)"
    assert described(ADDRESS, MARKDOWN).get_payload().strip().splitlines() == [
        f"{links}, [far](https://example.org/x).",
        f"![i]({raw}i.png){badge} [![k]({raw}k.png)]({blob}k.md)",
        *MARKDOWN.splitlines()[2:],
    ]


def test_an_index_links_to_the_repository_once_its_address_is_known(described):
    pages = dict(line.split(", ") for line in described(ADDRESS).get_all("Project-URL"))
    assert pages == {
        "Source": ADDRESS,
        "Documentation": OF_VERSION["tree"] + "docs",
        "Changelog": OF_VERSION["blob"] + "CHANGELOG.md",
        "Issues": ADDRESS + "/issues",
    }
    assert (ROOT / "docs").is_dir() and (ROOT / "CHANGELOG.md").is_file()


def test_an_index_links_to_no_repository_before(described):
    assert described(None).get_all("Project-URL") is None


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
        "CITATION.cff",
        "pyproject.toml",
        "requirements.txt",
        "Makefile",
        ".ci/run",
        ".dockerignore",
        ".github/workflows/test.yml",
        "tools/find_python",
        "tests/test_install.py",
        "examples/run_all.py",
        "examples/expected/cell_1.txt",
        "mxconv/py.typed",
        "mxconv/draw/animation.html",
        "mxconv/draw/page/page.html",
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
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
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
    assert (target / "mxconv" / "py.typed").is_file()
    (info,) = target.glob("mxconv-*.dist-info")
    assert {"LICENSE", "NOTICE"} <= {path.name for path in info.rglob("*")}


REAL = f'exec "{sys.executable}" "$@"'
# Runs what it is given on the real Python, which says that it is 3.13.
TOO_NEW = (
    f'exec "{sys.executable}" -c '
    '"import sys; sys.version_info = (3, 13, 0); exec(sys.argv[1])" "$2"'
)
# As a pyenv shim of a version that is not switched on.
BROKEN = 'echo "command not found" >&2; exit 127'
MISSING = "mxconv needs Python 3.8 to 3.12 with venv and pip; found: "


def make_commands(folder, commands):
    """Make the commands ({name: shell lines}) in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in commands.items():
        command = folder / name
        command.write_text("#!/bin/sh\n" + lines + "\n")
        command.chmod(stat.S_IRWXU)


def tool(name, *arguments, cwd=None, **variables):
    """Run a script of tools/ that was asked for by `make book`: its status, output and errors."""
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "tools" / name), *map(str, arguments)],
        cwd=cwd and str(cwd),
        env=dict(os.environ, TYPED="make book", **variables),
        timeout=300,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def find_python(folder, commands, *arguments):
    """Run tools/find_python where PATH holds `commands` ({name: shell line}) and nothing else."""
    make_commands(folder, commands)
    return tool("find_python", *arguments, PATH=str(folder))


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
    assert err.endswith(", or name it:  make book PYTHON=/path/to/python3.11\n")
    assert find_python(tmp_path, commands, sys.executable) == (0, sys.executable + "\n", "")


def test_a_python_asked_for_that_does_not_run_is_named(tmp_path):
    code, out, err = find_python(tmp_path, {"python3": REAL, "mine": BROKEN}, "mine")
    assert (code, out) == (1, "") and len(err.splitlines()) == 1
    assert err.startswith("mine can't be run: ") and "make book PYTHON=" in err


@pytest.mark.slow
def test_make_venv_replaces_one_that_does_not_work_and_keeps_one_that_does(tmp_path):
    venv = tmp_path / "venv"
    python = venv / "bin" / "python"
    mark = venv / "mark"
    python.parent.mkdir(parents=True)
    python.symlink_to(tmp_path / "a Python that is gone")
    mark.touch()

    assert tool("make_venv", venv, sys.executable) == (0, "", "")
    assert not mark.exists()
    assert subprocess.run([str(python), "-c", "import pip"], timeout=60).returncode == 0

    mark.touch()
    for arguments in [(), (sys.executable,), (str(python),)]:
        assert tool("make_venv", venv, *arguments) == (0, "", "")
        assert mark.exists()


def test_make_venv_leaves_the_folder_alone_where_the_python_asked_for_is_not_there(tmp_path):
    (tmp_path / "mark").touch()
    missing = tmp_path / "python"
    code, out, err = tool("make_venv", tmp_path, missing)
    assert (code, out) == (1, "") and err.startswith(f"{missing} can't be run: ")
    assert (tmp_path / "mark").exists()


def only(folder, commands):
    """A PATH of what the tools call, and `commands`, and no Python."""
    make_commands(folder, commands)
    for name in ("dirname", "rm", "mkdir", "touch"):
        (folder / name).symlink_to(shutil.which(name))
    return str(folder)


# As uv where it knows a Python; and where it has to download one, to the folder it is told.
UV = {
    "finds": f'[ "$1 $2" = "python find" ] && echo "{sys.executable}"',
    "downloads": f"""
case "$1 $2" in
    "python install") echo "a bar" >&2; mkdir "$(dirname "$UV_PYTHON_INSTALL_DIR")"
        touch "$UV_PYTHON_INSTALL_DIR.done" ;;
    "python find") [ -f "$UV_PYTHON_INSTALL_DIR.done" ] && echo "{sys.executable}" ;;
esac
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("how", UV)
def test_make_venv_takes_a_python_from_uv_where_none_suits(how, tmp_path):
    path = only(tmp_path / "bin", {"python3": TOO_NEW, "uv": UV[how]})
    code, out, err = tool("make_venv", tmp_path / "venv", PATH=path)
    assert (code, err) == (0, "")
    assert out == (
        "no Python from 3.8 to 3.12 in PATH: uv looks elsewhere, or downloads one into "
        f"{tmp_path / 'venv-uv'}\nuv has found {sys.executable}\n"
    )
    assert (tmp_path / "venv-uv" / "python.done").exists() or how == "finds"
    assert tool("find_python", tmp_path / "venv" / "bin" / "python")[0] == 0


@pytest.mark.parametrize("commands", [{}, {"uv": "exit 2"}], ids=["no uv", "uv fails"])
def test_make_venv_says_what_is_missing_where_uv_does_not_help(commands, tmp_path):
    (tmp_path / "bin").mkdir()
    path = only(tmp_path / "bin", {"python3": TOO_NEW, **commands})
    code, out, err = tool("make_venv", tmp_path / "venv", PATH=path)
    assert code == 1 and out.endswith("\nuv could not bring one: is there no network?\n")
    assert err == (
        f"{MISSING}python3 is 3.13. "
        "Install one, or name it:  make book PYTHON=/path/to/python3.11\n"
    )
    assert not (tmp_path / "venv-uv").exists() and not (tmp_path / "venv").exists()


def newer_python():
    """The path of a Python 3.13 on this machine, or None."""
    folders = [*os.environ["PATH"].split(os.pathsep)]
    folders += map(str, Path.home().glob(".pyenv/versions/3.13*/bin"))
    python = shutil.which("python3.13", path=os.pathsep.join(reversed(folders)))
    code = "import ensurepip, venv"
    works = python and subprocess.run([python, "-c", code], timeout=60).returncode == 0
    return python if works else None


@pytest.mark.slow
def test_a_machine_with_a_newer_python_only(tmp_path):
    """With uv installed by that Python; the Python it finds stands in for one it downloads."""
    newer = newer_python()
    if newer is None:
        pytest.skip("there is no Python 3.13 on this machine")
    wheels = tmp_path / "wheels"
    download = ["-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0", "uv"]
    pip = subprocess.run([newer, *download, "--dest", str(wheels)], timeout=300)
    if pip.returncode != 0:
        pytest.skip("uv can't be downloaded: there is no network")
    path = only(tmp_path / "bin", {"python3": f'exec "{newer}" "$@"'})
    code, out, err = tool(
        "make_venv",
        tmp_path / "venv",
        PATH=path,
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(wheels),
        UV_PYTHON_DOWNLOADS="never",
        UV_PYTHON_SEARCH_PATH=str(Path(sys.base_prefix) / "bin"),
    )
    assert (code, err) == (0, ""), out
    assert len(out.splitlines()) == 2 and "uv looks elsewhere" in out
    version = "import sys; print(sys.version)"
    assert run(str(tmp_path / "venv" / "bin" / "python"), "-c", version, cwd=tmp_path) == (
        sys.version + "\n"
    )


def test_a_folder_that_cannot_be_written_to():
    """Run as a user who may not write to /, with the script's text, which may be hidden too."""
    script = ROOT / "tools" / "make_venv"
    nobody = (lambda: os.setuid(65534)) if os.getuid() == 0 else None
    done = subprocess.run(
        ["/bin/sh", "-c", script.read_text(), str(script), ".venv"],
        cwd="/",
        env=dict(os.environ, TYPED="make book"),
        preexec_fn=nobody,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("/ can't be written to, ") and "make book" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def install(tmp_path):
    """Runs tools/install with a Python of these shell lines: what `tool` returns."""
    for name in ("setup.py", "requirements.txt"):
        (tmp_path / name).touch()

    def install(lines):
        make_commands(tmp_path / "venv" / "bin", {"python": f'echo "$@" >>called\n{lines}'})
        return tool("install", "venv", "examples", cwd=tmp_path)

    return install


def test_install_does_it_once_until_setup_py_changes(install, tmp_path):
    said = (0, "installing mxconv and its libraries into venv (a minute or two)\n", "")
    assert install("echo a warning >&2") == said
    first, second = (tmp_path / "called").read_text().splitlines()
    assert first.endswith(" pip>=23.1") and second.endswith(" --editable .[examples]")
    assert install("exit 1") == (0, "", "")
    os.utime(str(tmp_path / "venv" / "installed-examples"), (0, 0))
    assert install("") == said


def test_install_says_in_one_line_that_there_is_no_network(install, tmp_path):
    words = "WARNING: Retrying (Retry(total=1)) after NewConnectionError; No matching distribution"
    code, _, err = install(f"echo '{words}'; exit 1")
    assert code == 1 and len(err.splitlines()) == 1
    assert err.startswith("the libraries could not be downloaded: ") and "make book" in err
    assert (tmp_path / "venv" / "pip.log").read_text() == words + "\n"
    assert install("")[0] == 0


def test_install_shows_any_other_error_of_pips(install):
    code, _, err = install("echo 'ERROR: no space left'; exit 1")
    assert (code, err) == (1, "ERROR: no space left\n")


def make(*arguments):
    if shutil.which("make") is None:
        pytest.skip("there is no make on this machine")
    typed = ("ARGS", "PYTHON", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL")
    return subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", *arguments],
        env={name: value for name, value in os.environ.items() if name not in typed},
        timeout=60,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("target", ["book", "docs", "notebook", "test", "test-all", "test-slow"])
def test_make_says_first_what_it_does_and_how_long_it_takes(target):
    lines = make("--dry-run", target).stdout.splitlines()
    assert re.search(r": about .+", lines[0])
    assert "tools/make_venv" in lines[1] and "tools/install" in lines[2]


def test_make_of_what_is_no_target():
    done = make("tset")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no target tset: `make help` lists them" in done.stderr
    assert "make test" in make("help").stdout

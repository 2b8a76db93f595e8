"""The files that a code host reads: workflows, forms for issues, and CITATION.cff."""

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
FORMS = sorted(GITHUB.glob("ISSUE_TEMPLATE/*.yml"))
ACTIONS = sorted(GITHUB.glob("actions/*/action.yml"))
PYTHONS = ["3.8", "3.9", "3.10", "3.11", "3.12"]


def parsed(path):
    """A YAML file as Python values; no scalar is a number, so 3.10 stays '3.10'."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def steps(path):
    """The steps of every job of a workflow, or of an action."""
    content = parsed(path)
    jobs = content["jobs"].values() if "jobs" in content else [content["runs"]]
    return [step for job in jobs for step in job["steps"]]


def by_name(path):
    return path.parent.name if path.stem == "action" else path.stem


def test_the_files_that_are_expected_are_there():
    assert [path.stem for path in WORKFLOWS] == ["docs", "lint", "release", "test"]
    assert [path.stem for path in FORMS] == ["bug", "question"]
    assert (GITHUB / "pull_request_template.md").is_file()


@pytest.mark.parametrize("path", WORKFLOWS, ids=by_name)
def test_a_workflow_says_when_it_runs_where_and_for_how_long(path):
    workflow = parsed(path)
    assert workflow["name"] == path.stem and workflow["on"]
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert re.fullmatch(r"ubuntu-\d\d\.04", job["runs-on"])
        assert 0 < int(job["timeout-minutes"]) <= 120


@pytest.mark.parametrize("path", WORKFLOWS + ACTIONS, ids=by_name)
def test_a_step_runs_a_command_or_uses_an_action_of_a_fixed_version(path):
    for step in steps(path):
        assert ("run" in step) != ("uses" in step), step
        used = step.get("uses", "./.github/actions/python")
        if used.startswith("./"):
            assert (ROOT / used / "action.yml").is_file()
        else:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", used)


def test_the_workflows_call_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):(?!=)", makefile, re.MULTILINE))
    called = {
        path.stem: re.findall(
            r"\bmake ([\w-]+)", "\n".join(step.get("run", "") for step in steps(path))
        )
        for path in WORKFLOWS
    }
    assert called == {
        "docs": ["docs"],
        "lint": ["lint"],
        "release": [],
        "test": ["test", "test-all"],
    }
    assert {"docs", "lint", "test", "test-all"} <= targets


def test_every_python_is_tested():
    job = parsed(GITHUB / "workflows" / "test.yml")["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"] == PYTHONS


def test_only_the_job_that_publishes_may_prove_who_it_is():
    """To PyPI, by a token of this run."""
    workflow = parsed(GITHUB / "workflows" / "release.yml")
    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    allowed = {name: job.get("permissions") for name, job in workflow["jobs"].items()}
    assert allowed == {"build": None, "publish": {"id-token": "write"}}
    assert workflow["jobs"]["publish"]["needs"] == "build"


@pytest.mark.parametrize("path", FORMS, ids=by_name)
def test_a_form_can_be_filled_in(path):
    form = parsed(path)
    assert form["name"] and form["description"]
    names = [field["id"] for field in form["body"]]
    assert len(set(names)) == len(names)
    for field in form["body"]:
        assert field["type"] in ("textarea", "input") and field["attributes"]["label"]
    assert "true" in [field.get("validations", {}).get("required") for field in form["body"]]


@pytest.mark.slow
def test_what_a_report_of_a_bug_asks_to_run_runs():
    fields = {field["id"]: field for field in parsed(GITHUB / "ISSUE_TEMPLATE" / "bug.yml")["body"]}
    assert all(field["validations"]["required"] == "true" for field in fields.values())

    def command(name):
        description = fields[name]["attributes"]["description"]
        (line,) = re.findall(r"^ {4}(python .+)$", description, re.MULTILINE)
        return shlex.split(line)[1:]

    option, module = command("cpu")
    assert option == "-m" and find_spec(module)
    printed = subprocess.run(
        [sys.executable, *command("versions")],
        cwd=str(ROOT),
        check=True,
        timeout=120,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    python = ".".join(map(str, sys.version_info[:3]))
    assert re.fullmatch(rf"\S+ {re.escape(python)} 1\.\S+ 1\.9\.1 \S+\n", printed)


def test_the_book_is_cited_as_in_notice():
    citation = parsed(ROOT / "CITATION.cff")
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    (book,) = citation["references"]
    *others, last = (f"{name['given-names']} {name['family-names']}" for name in book["authors"])
    for words in (
        book["title"],
        f"by {', '.join(others)} and {last}",
        f'chapter "{book["section"]}"',
        book["edition"],
        book["year"],
    ):
        assert words in notice
    (author,) = citation["authors"]
    assert f"Copyright 2026 {author['name']}" in notice
    assert citation["cff-version"] == "1.2.0" and citation["title"] == "mxconv"


def test_the_address_of_the_repository_is_one_or_is_not_set():
    address = parsed(ROOT / "CITATION.cff").get("repository-code")
    assert address is None or re.fullmatch(r"https://[\w.-]+(/[\w.-]+){2}", address)

"""A plan in a file: what was measured on one day is followed on another, and checked."""

import json
from dataclasses import replace

from mxconv.geometry import ConvGeometry
from mxconv.inference.convolutions import Task
from mxconv.inference.kept import load_convolutions, load_flags, save
from mxconv.inference.plans import Plan

import pytest

RELU = ("Activation", ("act_type", "relu"))


def task_of(channels, activation=(), has_bias=True, **geometry):
    geometry = ConvGeometry(channels, 3, in_channels=12, **geometry)
    return Task(geometry, (2, 12, 9, 8), has_bias, activation)


FEW, MANY, OTHER = task_of(5, padding=1), task_of(12, RELU), task_of(12, has_bias=False)
TASKS = [FEW, MANY, OTHER, MANY]
PLAN = Plan(True, True, {FEW: "kn2row", MANY: "pad_channels"}, True, frozenset([OTHER]))
PLANS = {
    "all": PLAN,
    "nothing": Plan(folded=False),
    "folded": Plan(),
    "fused": Plan(fused=True, apart=frozenset([FEW, MANY])),
    "widened": Plan(widened=True, algorithms={OTHER: "im2col"}),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "choices.json"
    save(path, PLAN, TASKS, "a machine")
    return path


def loaded(path, tasks=TASKS):
    return load_convolutions(path, load_flags(path), tasks)


def changed(path, change):
    """Rewrite a file after a change of its content."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_what_is_saved_is_loaded(plan, tmp_path):
    path = tmp_path / "choices.json"
    save(path, plan, TASKS, "a machine")
    assert loaded(str(path)) == plan


def test_flags_come_first_as_they_decide_what_the_convolutions_are(path):
    assert load_flags(path) == replace(PLAN, algorithms={}, apart=frozenset())


def test_each_kind_of_convolution_is_written_once_and_readably(path):
    content = json.loads(path.read_text())
    assert content["machine"] == "a machine"
    assert [item["algorithm"] for item in content["convolutions"]] == [
        "kn2row",
        "pad_channels",
        "native",
    ]
    assert content["convolutions"][1] == {
        "geometry": str(MANY.geometry),
        "input_shape": "2x12x9x8",
        "bias": True,
        "activation": ["Activation", ["act_type", "relu"]],
        "algorithm": "pad_channels",
        "apart": False,
    }
    assert path.read_text().endswith("}\n")


def test_the_order_of_keys_and_of_convolutions_does_not_matter(path):
    content = json.loads(path.read_text())
    content["convolutions"].reverse()
    path.write_text(json.dumps(content, sort_keys=True))
    assert loaded(path) == PLAN


def test_a_network_may_have_more_convolutions(path):
    more = [*TASKS, task_of(7)]
    assert loaded(path, more) == PLAN


@pytest.mark.parametrize(
    "tasks",
    [
        [],
        [FEW, MANY],
        [FEW, OTHER, task_of(12)],  # without its activation
        [FEW, OTHER, task_of(12, ("Activation", ("act_type", "tanh")))],
        [FEW, OTHER, MANY._replace(input_shape=(1, 12, 9, 8))],
        [FEW, OTHER, MANY._replace(has_bias=False)],
    ],
)
def test_a_file_of_another_network_or_shape(path, tasks):
    with pytest.raises(ValueError, match="choices.json' is for another network, another input"):
        loaded(path, tasks)


@pytest.mark.parametrize("name", ["fast", "", None, "split_channels"])
def test_an_algorithm_that_is_unknown_or_unsupported(path, name):
    changed(path, lambda content: content["convolutions"][0].update(algorithm=name))
    with pytest.raises(ValueError, match=f"expected an algorithm that supports .*{name!r}"):
        loaded(path)


BROKEN = {
    "no JSON": "choices",
    "nothing": "",
    "a list": "[]",
    "a number": "3",
    "no flags": '{"convolutions": []}',
    "a flag of the wrong type": '{"folded": "yes", "widened": 1, "fused": 1, "convolutions": []}',
    "no convolutions": '{"folded": true, "widened": false, "fused": true}',
    "another list": '{"folded": true, "widened": false, "fused": true, "convolutions": [1]}',
    "half an item": '{"folded": true, "widened": false, "fused": true, "convolutions": [{}]}',
    "no list": '{"folded": true, "widened": false, "fused": true, "convolutions": 5}',
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_any_other_file(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    for load in (load_flags, loaded):
        with pytest.raises(ValueError, match="file that for_inference has saved.*other.json"):
            load(path)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "other.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="file that for_inference has saved"):
        load_flags(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_flags(tmp_path / "none.json")


def test_saving_replaces_the_file(path):
    save(path, Plan(), [FEW], "another machine")
    assert loaded(path) == Plan()
    assert [p.name for p in path.parent.iterdir()] == [path.name]

"""Which steps `for_inference` keeps when it measures, by a clock that is fixed."""

from inference import X, random, ready, sequence
from mxconv.inference import search
from mxconv.inference.choosing import Chosen
from mxconv.inference.comparing import Race
from mxconv.inference.original import Original
from mxconv.inference.plans import Plan
from mxconv.inference.search import FUSION, MAX_SINGLE, OPERATORS, STOCK, STOCK_FUSED, Workshop

import pytest
from mxnet.gluon import nn


@pytest.fixture
def found(monkeypatch):
    """Search where a plan takes the seconds that a function gives: real ones are no matter.

    `algorithms` and `apart` are what is fastest by itself, by c_o; there are convolutions to 5, 6
    and 7 channels. Returns the names of the steps that were kept, and what was found.
    """
    plans = {}
    run = Workshop.run

    def remember(shop, plan):
        program = run(shop, plan)
        plans[program] = plan
        return program

    def search_with(seconds, algorithms=(), apart=()):
        def race(first, second, *_):
            before, after = seconds(plans[first]), seconds(plans[second])
            return Race(before, after, before / after)

        def by_measuring(graph, tasks, *_):
            of = {task.geometry.channels: task for task in tasks.values()}
            chosen = {of[c_o]: name for c_o, name in dict(algorithms).items()}
            return Chosen(chosen, frozenset(of[c_o] for c_o in apart))

        monkeypatch.setattr(Workshop, "run", remember)
        monkeypatch.setattr(search, "race", race)
        monkeypatch.setattr(search.choosing, "by_measuring", by_measuring)
        relu = dict(padding=1, activation="relu")
        layers = nn.Conv2D(5, 3, **relu), nn.Conv2D(6, 3, **relu), nn.Conv2D(7, 1), nn.BatchNorm()
        net, inputs = ready(sequence(*layers), random(*X))
        result = search.by_measuring(Workshop(Original(net, inputs, None)), 0.001, False)
        return [step.name for step in result.steps if step.kept], result

    return search_with


def algorithms_of(plan):
    return {task.geometry.channels: name for task, name in plan.algorithms.items()}


def test_a_tie_is_won_by_fewer_operators(found):
    kept, result = found(lambda plan: 2.0)
    assert kept == [OPERATORS, "folding", "fusion"]
    assert result.plan == Plan(fused=True)
    assert (result.gain, result.gain_over_fused) == (1, 1)
    assert {step.seconds for step in result.steps} == {2.0}


def test_what_brings_less_than_noise_is_not_kept(found):
    kept, result = found(
        lambda plan: 1 / 1.009 if plan.widened or plan.algorithms else 1, {5: "fft"}
    )
    assert kept == [OPERATORS, "folding", "fusion"]
    assert [step.name for step in result.steps if not step.kept] == ["wider channels", "algorithms"]


def test_every_step_that_pays_is_kept_and_its_gains_multiply(found):
    def seconds(plan):
        return 48 / (
            (2 if plan.folded else 1)
            * (0.5 if plan.widened else 1)
            * (1.25 if plan.fused else 1)
            * (2 if plan.algorithms else 1)
        )

    kept, result = found(seconds, {5: "im2col"}, [6])
    assert kept == [OPERATORS, "folding", "fusion", "algorithms"]
    assert [step.gain for step in result.steps if step.kept] == [None, 2, 1.25, 2]
    assert [step.seconds for step in result.steps if step.kept] == [48, 24, 19.2, 9.6]
    assert (result.gain, result.gain_over_fused) == (5, 4)
    assert result.plan.folded and result.plan.fused and not result.plan.widened
    assert algorithms_of(result.plan) == {5: "im2col"}
    assert [task.geometry.channels for task in result.plan.apart] == [6]


def test_wider_channels_are_kept_where_they_pay(found):
    kept, result = found(lambda plan: 2 if plan.widened else 3)
    assert kept == [OPERATORS, "folding", "wider channels", "fusion"]
    assert result.plan == Plan(widened=True, fused=True) and result.gain == 1.5


def test_what_was_slower_fused_is_tried_again_with_other_algorithms(found):
    def seconds(plan):
        fusing = 0.5 if plan.algorithms else 1.5
        return (0.5 if plan.algorithms else 1) * (fusing if plan.fused else 1)

    kept, result = found(seconds, {5: "im2col"})
    assert kept == [OPERATORS, "folding", "algorithms", "fusion again"]
    assert result.plan.fused and algorithms_of(result.plan) == {5: "im2col"}


def test_an_algorithm_that_is_slower_among_its_neighbors_is_left_out(found):
    def seconds(plan):
        chosen = algorithms_of(plan)
        return 4 - 2 * (5 in chosen) + (6 in chosen)

    kept, result = found(seconds, {5: "im2col", 6: "kn2row"})
    assert algorithms_of(result.plan) == {5: "im2col"}
    assert "without kn2row" in kept
    assert "without im2col" not in [step.name for step in result.steps]  # said only if it helped


def test_in_a_network_of_many_kinds_of_convolutions_none_is_tried_by_itself(found, monkeypatch):
    assert MAX_SINGLE > 1
    monkeypatch.setattr(search, "MAX_SINGLE", 1)
    kept, result = found(lambda plan: 4 - len(plan.algorithms), {5: "im2col", 6: "kn2row"})
    assert not [name for name in kept if name.startswith("without")]
    assert len(result.plan.algorithms) == 2


def test_mxnets_fusion_by_itself_wins_if_it_is_faster(found):
    kept, result = found(lambda plan: 0.5 if plan == STOCK_FUSED else 2 if plan.fused else 1)
    assert kept == [OPERATORS, "folding", FUSION]
    assert result.plan == STOCK_FUSED
    assert (result.gain, result.gain_over_fused) == (2, 1)
    assert (result.steps[-1].what, result.steps[-1].gain) == ("faster than all of the above", 2)


@pytest.mark.parametrize("fused, over_fused", [(2, 4), (0.8, 1.6)])
def test_the_network_as_it_was_wins_if_it_is_faster(fused, over_fused, found):
    kept, result = found(lambda plan: 1 if plan.folded else fused if plan.fused else 0.5)
    assert kept[-1] == OPERATORS and len(kept) == (4 if fused > 1 else 5)
    assert result.plan == STOCK
    assert (result.gain, result.gain_over_fused) == (1, over_fused)


def test_mxnets_fusion_that_computes_something_else_is_not_compared(found, monkeypatch):
    check = Original.check

    def refuse(original, run):
        checked.append(run)
        if len(checked) == 4:  # after folding, wider channels and fusion
            raise ArithmeticError("the output differs")
        return check(original, run)

    checked = []
    monkeypatch.setattr(Original, "check", refuse)
    _, result = found(lambda plan: 1)
    step = result.steps[-1]
    assert (step.name, step.what) == (FUSION, "dropped: the output differs")
    assert (result.gain, result.gain_over_fused) == (1, None)

"""Whether two networks compute the same, up to rounding, and which is faster."""

import itertools
from math import sqrt

import mxconv.inference.comparing as comparing
from mxconv import dtypes
from mxconv.inference.comparing import Race, difference, perturbed, race, rounding_tolerance
from passes import DATA, convolution, graph_of

import numpy as np
import pytest
from mxnet import nd, sym

U = 2.0**-24


def array(*numbers, dtype="float32"):
    return np.array(numbers, dtype)


# Differences


def test_the_difference_is_relative_to_the_largest_element():
    assert difference("y", array(1, -8), array(1.5, -8), 0.1) == 0.5 / 8
    assert difference("y", array(1, -8), array(1, -8), 0) == 0


def test_a_difference_beyond_the_tolerance_names_the_output():
    with pytest.raises(ArithmeticError, match=r"output 3 differs by 6.2e-02 .*8; at most 1.0e-02"):
        difference("output 3", array(1, -8), array(1.5, -8), 0.01)


def test_zeros_are_compared_as_they_are():
    assert difference("y", array(0, 0), array(0, 0), 0) == 0
    with pytest.raises(ArithmeticError, match="differs"):
        difference("y", array(0, 0), array(0, 1e-3), 1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_should_be_finite(bad):
    with pytest.raises(ArithmeticError, match="y has 1 elements that aren't finite"):
        difference("y", array(1, 2), array(1, bad), 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_either_may_be_anything(bad):
    assert difference("y", array(1, bad), array(1, 5), 0) == 0
    assert difference("y", array(bad), array(np.nan), 0) == 0


def test_other_shapes_and_dtypes():
    with pytest.raises(ArithmeticError, match=r"y should be float32 of shape \(1,\), and is"):
        difference("y", array(1), array(1, 1), 1)
    with pytest.raises(ArithmeticError, match="float64"):
        difference("y", array(1), array(1, dtype="float64"), 1)


def test_arrays_without_elements_integers_and_booleans():
    assert difference("y", array(), array(), 0) == 0
    assert difference("y", array(4, dtype="int32"), array(5, dtype="int32"), 1) == 0.25
    assert difference("y", array(True, dtype=bool), array(True, dtype=bool), 0) == 0


def test_large_numbers_do_not_overflow():
    assert difference("y", array(3e38), array(-3e38), 3) == 2
    assert difference("y", array(100, dtype="int8"), array(-100, dtype="int8"), 3) == 2


def test_bfloat16():
    one, other = (nd.array([1, x]).astype(dtypes.BFLOAT16).asnumpy() for x in (-8, -8.25))
    assert difference("y", one, one, 0) == 0
    assert 0 < difference("y", one, other, 0.1) <= 0.25 / 8


# Tolerances


def net(dtype="float32", **attributes):
    y = convolution(DATA, kernel=(3, 3), num_filter=4, bias=False)
    y = sym.FullyConnected(y, sym.var("w"), no_bias=True, num_hidden=5)
    weights = dict(conv_weight=nd.ones((4, 2, 3, 3)), w=nd.ones((5, 36)))
    return graph_of(y, dtype, **{name: w.astype(dtype) for name, w in weights.items()})


@pytest.mark.parametrize("dtype, unit", [("float32", U), ("float64", 2.0**-53)])
def test_the_tolerance_adds_up_the_errors_of_all_layers(dtype, unit):
    expected = 2 * unit * (1 + 2 * sqrt(2 * 9 + 1) + 2 * sqrt(36 + 1))
    assert rounding_tolerance(net(dtype)) == pytest.approx(expected)


def test_float16_sums_in_float32_and_rounds_between():
    sums = 2 * sqrt(2 * 9 + 1) + 2 * sqrt(36 + 1)
    expected = 2 * (2.0**-11 * (1 + comparing.ROUNDINGS * 2) + U * sums)
    assert rounding_tolerance(net("float16")) == pytest.approx(expected)


def test_the_tolerance_without_layers():
    assert rounding_tolerance(graph_of(sym.relu(DATA))) == 2 * U


def test_the_coarsest_dtype_decides():
    y = sym.amp_cast(DATA, dtype="float16")
    assert rounding_tolerance(graph_of(y)) == 2 * 2.0**-11


# Changes by rounding


def changed(values, dtype="float32", change=2 * U):
    array = nd.array(values, dtype=dtype)
    return perturbed(array, change, np.random.RandomState(0)).asnumpy()


@pytest.mark.parametrize("dtype, change", [("float32", 2 * U), ("float64", 2.0**-52)])
def test_each_element_changes_by_rounding_in_either_direction(dtype, change):
    values = np.random.RandomState(1).uniform(-3, 3, (30, 1000)).astype(dtype)
    result = changed(values, dtype, change)
    assert result.dtype == values.dtype and result.shape == values.shape
    off = result.astype("longdouble") / values - 1
    assert (np.abs(off) <= 2 * change).all() and (off != 0).all()
    assert 0.4 < (off > 0).mean() < 0.6
    assert not (np.sign(off[0]) == np.sign(off[10])).all()  # SIGNS is about 10 rows
    assert np.array_equal(result, changed(values, dtype, change))


def test_whole_numbers_and_other_dtypes_stay():
    values = np.array([0, 1, -3, 2.0**24 + 2, np.inf, -np.inf, np.nan], "float32")
    np.testing.assert_array_equal(changed(values), values)
    assert np.array_equal(changed([1, 2], "int32"), [1, 2])
    assert changed([]).size == 0
    array = nd.array([0.3]).astype(dtypes.BFLOAT16)
    assert perturbed(array, 2.0**-7, np.random.RandomState(0)) is array


# Races


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves on by what the running function takes."""
    now = [0.0]
    monkeypatch.setattr(comparing.time, "perf_counter", lambda: now[0])

    def takes(*seconds):
        times = itertools.cycle(seconds)

        def run(*inputs):
            now[0] += next(times)
            run.calls += 1
            return [nd.ones(1)]

        run.calls = 0
        return run

    return takes


def test_a_race_reports_medians_and_the_gain(clock):
    assert race(clock(0.25), clock(0.125), [], 10) == Race(0.25, 0.125, 2.0)


def test_an_outlier_does_not_count(clock):
    result = race(clock(0.25), clock(*[0.125] * 6, 8), [], 20)
    assert result.gain == 2.0 and result.after == 0.125


def test_drift_does_not_count(clock):
    drifting = [2.0**i for i in range(-9, 9) for _ in range(2)]
    slow, fast = clock(*[2 * t for t in drifting]), clock(*drifting)
    assert race(slow, fast, [], 10).gain == 2.0


def test_both_run_in_turn_and_equally_often(clock):
    first, second = clock(0.25), clock(0.25)
    race(first, second, [], 4)
    assert first.calls == second.calls >= comparing.MIN_ROUNDS


def test_at_least_a_few_rounds_of_what_takes_long(clock):
    first, second = clock(100), clock(50)
    assert race(first, second, [], 1).gain == 2.0
    assert first.calls == 1 + comparing.MIN_LONG_ROUNDS

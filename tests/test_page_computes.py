"""What the page computes in a browser, compared with mxconv and with the oracle."""

import oracle
from helpers import NUMPY_MODE, integers
from mxconv import ConvGeometry
from mxconv.draw.sums import (
    as_factor,
    compute_sums,
    format_number,
    is_shown_exactly,
)
from mxconv.draw.webpage import LIMITS
from mxconv.exercises import count_cost
from page_tab import arguments_of, in_a_browser, is_drawn, random, some_settings

import numpy as np
import pytest
from mxnet import nd


def convolved(tab, cases):
    """What the browser computes for cases of X, K, in NumPy, and settings."""
    return tab.run(
        "arguments[0].map(([X, K, settings]) => {"
        " const c = new Convolution(X, K, settings);"
        " const {padded, border, parts, output, windows, cost, outHeight, outWidth} = c;"
        " return {padded, border, parts, output, windows, cost, size: [outHeight, outWidth],"
        "   inputs: range(c.outChannels).map(o => c.inputOf(o, 0))};"
        "})",
        [
            [dict(shape=array.shape, data=array.ravel().tolist()) for array in (x, k)] + [settings]
            for x, k, settings in cases
        ],
    )


@in_a_browser
@pytest.mark.parametrize("kind", ["integers", "floats"])
def test_the_browser_computes_what_mxconv_does(kind, tab):
    cases = []
    while len(cases) < 150:
        x_shape, k_shape, settings = some_settings()
        if is_drawn(x_shape, k_shape, settings):
            make = random if kind == "floats" else lambda *shape: integers(shape, most=9)
            cases.append((make(*x_shape).asnumpy(), make(*k_shape).asnumpy(), settings))
    assert any(s["groups"] == len(x) == len(k) > 1 for x, k, s in cases)  # depthwise
    found_ones = convolved(tab, [(x.astype(float), k.astype(float), s) for x, k, s in cases])
    for (x, k, settings), found in zip(cases, found_ones):
        x, k = x.astype(np.float64), k.astype(np.float64)
        arguments = arguments_of(settings)
        sums = compute_sums(nd.array(x), nd.array(k), limits=LIMITS, **arguments)
        assert np.array_equal(np.ravel(found["padded"]), sums.padded.ravel())
        assert found["border"] == list(np.flatnonzero(sums.border))
        assert np.array_equal(found["windows"], sums.windows)
        assert found["inputs"] == [sums.inputs_of(o)[0] for o in range(len(k))]
        size = sums.output.shape[1:]
        assert found["size"] == list(size)
        padded = np.pad(x, ((0, 0), *arguments["padding"]), mode=NUMPY_MODE[settings["mode"]])
        across = (None, settings["strides"], (0, 0), settings["dilation"], settings["groups"])
        expected = oracle.convolve(padded[None], k, *across)[0]
        magnitude = oracle.convolve(abs(padded)[None], abs(k), *across)[0]
        parts = np.reshape(found["parts"], sums.parts.shape)
        output = np.reshape(found["output"], sums.output.shape)
        if kind == "integers":
            assert np.array_equal(output, expected)
            assert np.array_equal(output, sums.output)
            assert np.array_equal(parts, sums.parts)
        else:
            of_parts = np.broadcast_to(magnitude[:, None], parts.shape)
            oracle.assert_within(output, expected, magnitude, np.float64)
            oracle.assert_within(output, sums.output, magnitude, np.float64)
            oracle.assert_within(parts, sums.parts, of_parts, np.float64)
        del arguments["padding_mode"]
        geometry = ConvGeometry(len(k), k.shape[2:], in_channels=len(x), **arguments)
        forward = count_cost(geometry, (1, *x.shape)).forward
        assert found["cost"] == dict(
            multiplications=forward.multiplications,
            additions=forward.additions,
            elements=x.size + k.size + expected.size,
        )


@in_a_browser
def test_the_browser_refuses_what_mxconv_refuses(tab):
    cases = [some_settings(valid=False) for _ in range(600)]
    found = tab.run(
        "arguments[0].map(([x, k, settings]) => problemWith(x, k, settings, DATA.limits))", cases
    )
    drawn = [is_drawn(*case) for case in cases]
    assert 100 < sum(drawn) < 500
    for case, problem, good in zip(cases, found, drawn):
        assert (problem is None) == good, (case, problem)


def some_numbers():
    """Numbers of every size, and those that are hard to round."""
    yield from [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1.7976931348623157e308, 2.2e-308]
    ties = [1.125, 1.135, 0.125, 2.5, 1000.5, 1001.5, 999.5, 999950, 1e6 - 0.5, 999999.5, 0.5e-4]
    ties += [1e21, 1e6, 1e-4, 9.995e-5, 99.95, 99.85, 999.4999, 123456.5, 1e15 + 0.5, 1024.5]
    near = [np.nextafter(tie, to) for tie in ties for to in (-np.inf, np.inf)]
    for number in ties + near:
        yield from (number, -number)
    yield from np.random.normal(size=1000)
    yield from 10 ** np.random.uniform(-12, 24, 1000)
    yield from np.round(10 ** np.random.uniform(-6, 8, 1000), 3)
    yield from np.random.randint(-(2**40), 2**40, 500) / 2.0 ** np.random.randint(0, 50, 500)
    bits = np.random.randint(0, 2**63 - 1, 2000, dtype=np.int64)
    yield from bits.view(np.float64)
    for exponent in range(-8, 9):  # halfway between numbers of three digits
        yield from (np.arange(100, 1000, 7) + 0.5) * 10.0**exponent


@in_a_browser
def test_numbers_are_written_as_figures_write_them(tab):
    numbers = [float(number) for number in some_numbers()]
    found = tab.run(
        "arguments[0].map(Number).map(n => [formatNumber(n), formatFactor(n), isShownExactly(n)])",
        [repr(number).replace("inf", "Infinity") for number in numbers],
    )
    for number, texts in zip(numbers, found):
        expected = [format_number(number), as_factor(number), is_shown_exactly(number)]
        assert texts == expected, number

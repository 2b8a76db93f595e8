"""Minimal filtering: its matrices as fractions, every remainder of tiles, and its precision."""

from fractions import Fraction

import helpers
import oracle
from mxconv import ConvGeometry, MultiChannelConv2D
from mxconv.algorithms import ALGORITHMS, winograd
from mxconv.algorithms.winograd import POINTS, TILE, transforms

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd

pytestmark = pytest.mark.kernels

run, worth_timing = ALGORITHMS["winograd"].run, ALGORITHMS["winograd"].worth_timing


@pytest.mark.parametrize(
    "points, taps", [(POINTS, 3), ((0, 1, -1), 3), ((0, 1), 2), ((0, 1, -1, 2, -2, 3), 5)], ids=str
)
def test_the_transforms_give_the_definition_exactly(points, taps):
    A, G, B = transforms([Fraction(point) for point in points], taps)
    window = len(points) + 1
    for i in range(window + 1 - taps):
        for j in range(taps):
            for place in range(window):
                found = sum(A[k][i] * G[k][j] * B[k][place] for k in range(window))
                assert found == (place == i + j)


def test_the_docstrings_four_products_are_those_of_three_points():
    A, G, B = (np.float64(matrix) for matrix in transforms([Fraction(z) for z in (0, 1, -1)]))
    assert np.array_equal(A, [[1, 0], [1, 1], [1, -1], [0, 1]])
    # p1 is (d2 - d0) (-g0) here, with both signs turned.
    assert np.array_equal(B, [[-1, 0, 1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]])
    assert np.array_equal(2 * G, [[-2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])


def test_what_float32_holds_exactly():
    A, _, B = transforms(POINTS)
    for matrix in (A, B):
        values = {a * b for row in matrix for a in row for other in matrix for b in other}
        assert all(Fraction(float(np.float32(float(value)))) == value for value in values)


@pytest.fixture(params=["matrix products", "a convolution"])
def multiplied(request, monkeypatch):
    """How the transformed windows are multiplied, which depends on the CPU and the channels."""
    by_convolution = request.param == "a convolution"
    monkeypatch.setattr(winograd, "_suits_convolution", lambda geometry: by_convolution)


@pytest.mark.usefixtures("multiplied")
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("h", range(3, 15))
def test_every_size_is_the_definition(h, padding):
    g = ConvGeometry(2, 3, padding=(padding, 2 - padding), in_channels=3)
    weight, bias = (nd.random.normal(shape=s, dtype="float64") for s in (g.weight_shape, (2,)))
    for w in range(3, 15):
        x = nd.random.normal(shape=(2, 3, h, w), dtype="float64")
        expected = oracle.convolve(*(a.asnumpy() for a in (x, weight, bias)), padding=g.padding)
        y = run(nd, x, weight, bias, g).asnumpy()
        assert y.shape == expected.shape and np.abs(y - expected).max() < 1e-12


def test_padding_may_exceed_the_window():
    g = ConvGeometry(2, 3, padding=(9, 4), in_channels=1)
    x, weight = nd.random.normal(shape=(1, 1, 1, 2)), nd.random.normal(shape=g.weight_shape)
    expected = oracle.convolve(x.asnumpy(), weight.asnumpy(), padding=g.padding)
    assert np.abs(run(nd, x, weight, None, g).asnumpy() - expected).max() < 1e-5


@pytest.mark.usefixtures("multiplied")
@pytest.mark.parametrize("use_bias", [True, False])
@helpers.EVERY_MODE
def test_a_layer_trains_at_one_size_after_another(mode, use_bias):
    layer = MultiChannelConv2D(
        16, 3, padding=1, in_channels=8, use_bias=use_bias, algorithm="winograd"
    )
    layer.initialize(mx.init.Normal(1))
    helpers.hybridize(layer, mode)
    parameters = layer.collect_params().values()
    for shape in ((2, 8, 9, 8), (3, 8, 5, 14), (2, 8, 9, 8)):
        x = nd.random.normal(shape=shape)
        x.attach_grad()
        with autograd.record():
            y = layer(x)
        dy = nd.random.normal(shape=y.shape)
        y.backward(dy)
        data = [x.asnumpy(), *(p.data().asnumpy() for p in parameters)]
        gradients = oracle.gradients(*data[:2], dy.asnumpy(), padding=(1, 1))
        expected = [oracle.convolve(*data, padding=(1, 1)), *gradients]
        for ours, theirs in zip([y, x.grad, *(p.grad() for p in parameters)], expected):
            assert np.abs(ours.asnumpy() - theirs).max() < 1e-5 * np.abs(theirs).max()


def test_many_channels_lose_little():
    """At most 3e-6 of the largest output; with the points 0, 1, -1, 2, -2 it is 7e-6."""
    g = ConvGeometry(16, 3, padding=1, in_channels=512)
    random = np.random.RandomState(0)
    x, weight = (random.normal(size=s).astype("f") for s in ((1, 512, 24, 24), g.weight_shape))
    expected = oracle.convolve(x, weight, padding=g.padding)
    y = run(nd, nd.array(x), nd.array(weight), None, g).asnumpy()
    assert np.abs(y - expected).max() < 3e-6 * np.abs(expected).max()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inf_and_nan_spread_to_the_tiles_whose_windows_have_them(value):
    g = ConvGeometry(1, 3, padding=1, in_channels=1)
    x = nd.ones((2, 1, 16, 16))
    x[0, 0, 9, 9] = value  # in the windows from rows 3 and 7 of the input, 6 long
    y = run(nd, x, nd.ones(g.weight_shape), None, g).asnumpy()
    wrong = ~np.isfinite(y)
    rows, cols = np.nonzero(wrong[0, 0])
    assert not wrong[1].any() and np.isnan(y[wrong]).all()
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (8, 11, 8, 11)
    assert wrong.sum() == TILE**2


@pytest.mark.parametrize(
    "c_i, c_o, n, size, dtype, worth",
    [
        (256, 256, 1, 28, "float32", True),
        (256, 256, 1, 28, "float64", False),
        (512, 512, 1, 13, "float32", False),
        (512, 512, 4, 7, "float32", True),
        (32, 64, 16, 112, "float32", False),
    ],
)
def test_small_convolutions_are_not_timed(c_i, c_o, n, size, dtype, worth):
    g = ConvGeometry(c_o, 3, padding=1, in_channels=c_i)
    assert worth_timing(g, (n, c_i, size, size), np.dtype(dtype)) is worth

from functools import partial

import helpers
import oracle
from geometries import is_depthwise_only, small, supported
from mxconv import ConvGeometry, _cpuinfo, corr2d_multi_in_out
from mxconv.algorithms import ALGORITHMS, resolve
from mxconv.algorithms.definition import MAX_TRACED_TAPS
from mxconv.algorithms.ops import dilate, one_hot_kernels

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd, sym

pytestmark = pytest.mark.kernels

# Large enough for sums that a shorter format, as bfloat16, would round.
integers = partial(helpers.integers, most=9)

CASES = [pytest.param(name, g, id=f"{name}-{g}") for name in ALGORITHMS for g in supported(name)]
EVERY = pytest.mark.parametrize("name", sorted(ALGORITHMS))
EVERY_CASE = pytest.mark.parametrize("name, g", CASES)


def arguments_of_oracle(g):
    return dict(strides=g.strides, padding=g.padding, dilation=g.dilation, groups=g.groups)


def data(g, draw):
    """x, weight and bias for a geometry."""
    return draw((2, g.in_channels, 7, 8)), draw(g.weight_shape), draw((g.channels,))


def normal(shape):
    return nd.random.normal(shape=shape)


def equal(name, actual, expected):
    """Whether results on integers are exact; if they pass through other numbers, all but exact."""
    off = np.abs(actual.asnumpy() - expected).max()
    if ALGORITHMS[name].exact_on_integers:
        return off == 0
    in_float32 = name == "winograd" and actual.dtype == np.float32
    return off <= (0.1 if in_float32 else 1e-9)  # of sums up to 9,072, whose neighbors are 1 away


@EVERY_CASE
def test_value_and_gradients_are_exact_on_integers(name, g):
    x, weight, bias = operands = data(g, integers)
    for operand in operands:
        operand.attach_grad()
    with autograd.record():
        y = ALGORITHMS[name].run(nd, x, weight, bias, g)
    expected = oracle.convolve(*(a.asnumpy() for a in operands), **arguments_of_oracle(g))
    assert y.shape == g.output_shape(x.shape)
    assert equal(name, y, expected)
    dy = integers(y.shape)
    y.backward(dy)
    expected = oracle.gradients(
        x.asnumpy(), weight.asnumpy(), dy.asnumpy(), **arguments_of_oracle(g)
    )
    for operand, gradient in zip(operands, expected):
        assert equal(name, operand.grad, gradient)


@EVERY_CASE
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_real_data_is_within_the_rounding_bound(name, dtype, g):
    x, weight, bias = (a.astype(dtype) for a in data(g, normal))
    y = ALGORITHMS[name].run(nd, x, weight, bias, g)
    assert y.dtype == np.dtype(dtype)
    exact, magnitude = (
        oracle.convolve(*(f(a.asnumpy()) for a in (x, weight, bias)), **arguments_of_oracle(g))
        for f in (np.array, np.abs)
    )
    terms = 2 * int(np.prod(g.weight_shape[1:])) + 2
    if not ALGORITHMS[name].exact_on_integers:  # the rounding of others is in each output
        magnitude, terms = magnitude.max(), max(terms, 32)
    oracle.assert_within(y, exact, magnitude, dtype, terms)


@EVERY_CASE
def test_the_symbol_equals_the_arrays(name, g):
    x, weight, bias = data(g, integers)
    traced = ALGORITHMS[name].run(sym, sym.var("x"), sym.var("weight"), sym.var("bias"), g)
    y = traced.eval(x=x, weight=weight, bias=bias)[0]
    assert np.array_equal(y.asnumpy(), ALGORITHMS[name].run(nd, x, weight, bias, g).asnumpy())


@EVERY
def test_gradients_are_those_of_finite_differences(name):
    g = small(name)
    traced = ALGORITHMS[name].run(sym, sym.var("x"), sym.var("weight"), sym.var("bias"), g)
    shapes = dict(x=(2, g.in_channels, 5, 4), weight=g.weight_shape, bias=(g.channels,))
    location = {operand: np.random.normal(size=shape) for operand, shape in shapes.items()}
    mx.test_utils.check_numeric_gradient(
        traced, location, numeric_eps=1e-3, rtol=1e-4, atol=1e-4, dtype=np.float64
    )


@pytest.mark.parametrize("name", [n for n in sorted(ALGORITHMS) if not is_depthwise_only(n)])
def test_without_stride_and_padding_an_algorithm_is_the_chapters_function(name):
    g = ConvGeometry(3, 3 if name == "winograd" else (2, 3), in_channels=2)
    x, weight = integers((4, 2, 6, 5)), integers(g.weight_shape)
    y = ALGORITHMS[name].run(nd, x, weight, None, g)
    for example, output in zip(x, y):
        assert equal(name, output, corr2d_multi_in_out(example, weight).asnumpy())


def test_a_dilated_kernel_has_zeros_between_its_taps():
    kernel = integers((2, 3, 3, 2))
    expected = np.zeros((2, 3, 5, 4), np.float32)
    expected[:, :, ::2, ::3] = kernel.asnumpy()
    assert np.array_equal(dilate(nd, kernel, (2, 3)).asnumpy(), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ctx", [mx.cpu(0), mx.cpu(1)], ids=str)
def test_kernels_have_a_single_one_and_the_dtype_and_device_of_what_they_meet(ctx, dtype):
    x = nd.arange(48, ctx=ctx, dtype=dtype).reshape((1, 2, 4, 6))
    blocks = dict(kernel=(2, 3), stride=(2, 3), num_filter=12, no_bias=True)
    kernels = one_hot_kernels(nd, x, (2, 2, 3))
    assert kernels.dtype == x.dtype and kernels.context == ctx
    assert np.array_equal(kernels.asnumpy(), np.eye(12).reshape((12, 2, 2, 3)))
    variable = sym.var("x")
    traced = sym.Convolution(variable, one_hot_kernels(sym, variable, (2, 2, 3)), **blocks)
    y = sym.load_json(traced.tojson()).eval(ctx, x=x)[0]
    assert y.dtype == x.dtype and y.context == ctx
    rearranged = x.asnumpy().reshape((2, 2, 2, 2, 3)).transpose((0, 2, 4, 1, 3))
    assert np.array_equal(y.asnumpy(), rearranged.reshape((1, 12, 2, 2)))


@EVERY
def test_a_graph_may_be_cast_and_moved(name):
    g = small(name)
    inputs = sym.var("x"), sym.var("weight"), sym.var("bias")
    graph = sym.load_json(ALGORITHMS[name].run(sym, *inputs, g).tojson())
    operands = [a.astype("float64").as_in_context(mx.cpu(1)) for a in data(g, integers)]
    y = graph.eval(mx.cpu(1), **dict(zip(("x", "weight", "bias"), operands)))[0]
    expected = oracle.convolve(*(a.asnumpy() for a in operands), **arguments_of_oracle(g))
    assert y.dtype == np.float64 and y.context == mx.cpu(1) and equal(name, y, expected)


def test_auto_is_native_until_the_rule_has_chosen():
    assert resolve("auto", ConvGeometry(3, 2, in_channels=2)) == "native"


@EVERY
def test_a_layer_that_waits_for_its_channels_is_traced_as_native(name):
    assert resolve(name, ConvGeometry(4, 3)) == "native"
    assert resolve(name, small(name)) == name


def test_the_definition_refuses_a_huge_graph():
    g = ConvGeometry(32, 3, dilation=2, in_channels=32)
    with pytest.raises(ValueError, match=f"32 x 32 x 5 x 5 = 25600 taps.*{MAX_TRACED_TAPS}"):
        ALGORITHMS["definition"].run(sym, sym.var("x"), sym.var("weight"), None, g)


def test_the_transforms_take_large_kernels_and_groups():
    for g, size in (
        (ConvGeometry(2, 31, padding=(15, 3), in_channels=1), (32, 41)),
        (ConvGeometry(4, (13, 9), (2, 3), 5, (1, 2), 2, in_channels=6), (23, 19)),
    ):
        x, weight = integers((2, g.in_channels, *size)), integers(g.weight_shape)
        y = ALGORITHMS["fft"].run(nd, x, weight, None, g)
        expected = oracle.convolve(x.asnumpy(), weight.asnumpy(), **arguments_of_oracle(g))
        assert equal("fft", y, expected)


def test_a_gradient_that_is_added_to_is_added_to():
    g = ConvGeometry(1, 3, in_channels=1)
    x, weight = integers((1, 1, 5, 5)), integers(g.weight_shape)
    x.attach_grad("add"), weight.attach_grad("null")
    for _ in range(2):
        with autograd.record():
            y = ALGORITHMS["fft"].run(nd, x, weight, None, g)
        y.backward()
    one = nd.ones((1, 1, 3, 3)).asnumpy()
    expected = oracle.gradients(x.asnumpy(), weight.asnumpy(), one)[0]
    assert equal("fft", x.grad, 2 * expected)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "name, spreads",
    [("train_layout", False), ("pad_channels", False), ("kn2row", False), ("fft", True)],
)
def test_where_inf_and_nan_spread(name, spreads, value, dilation):
    g = ConvGeometry(1, 3, 1, dilation, dilation, in_channels=1)
    x = nd.ones((2, 1, 16, 16))
    x[0, 0, 8, 8] = value
    y = ALGORITHMS[name].run(nd, x, nd.ones(g.weight_shape), None, g).asnumpy()
    wrong = ~np.isfinite(y)
    assert wrong[0].sum() == (256 if spreads else 9) and not wrong[1].any()
    assert np.isnan(y[wrong]).all() or (
        value == np.inf and name in ("train_layout", "pad_channels")
    )


@pytest.mark.parametrize(
    "name, g, says",
    [
        ("pad_channels", ConvGeometry(16, 3, in_channels=3), "multiple of (8|16)"),
        ("pad_channels", ConvGeometry(4, 3, groups=2, in_channels=4), "groups"),
        ("pad_channels", ConvGeometry(9, 3, groups=9, in_channels=9), "groups"),
        ("split_channels", ConvGeometry(9, 3, in_channels=9), "other than one per channel"),
        ("split_channels", ConvGeometry(7, 3, groups=7, in_channels=7), "fewer than 8 channels"),
        ("split_channels", ConvGeometry(16, 3, groups=16, in_channels=16), "multiple of 8"),
        ("depth_to_space", ConvGeometry(4, 3, groups=2, in_channels=4), "groups"),
        ("kn2row", ConvGeometry(4, 3, (2, 1), in_channels=4), "strides other than 1"),
        ("kn2row", ConvGeometry(4, (2, 4), in_channels=4), "multiple of 8 taps"),
        ("kn2row", ConvGeometry(4, 2, padding=(0, 2), in_channels=4), r"dilated kernel, \(2, 2\)"),
        ("winograd", ConvGeometry(4, (3, 2), in_channels=4), "kernels other than 3x3"),
        ("winograd", ConvGeometry(4, 3, (1, 2), in_channels=4), "strides other than 1"),
        ("winograd", ConvGeometry(4, 3, dilation=2, in_channels=4), "dilation"),
        ("winograd", ConvGeometry(4, 3, groups=2, in_channels=4), "groups"),
        ("subsample", ConvGeometry(4, 3, 2, in_channels=4), "other than 1x1"),
        ("subsample", ConvGeometry(4, 1, in_channels=4), "a stride of 1"),
    ],
)
def test_what_an_algorithm_does_not_support_is_refused(name, g, says):
    with pytest.raises(ValueError, match=f"algorithm='{name}' doesn't support .*{says}.*channels="):
        resolve(name, g)


@pytest.mark.parametrize("avx512, channels", [(True, 16), (False, 8)])
def test_channels_are_padded_as_the_kernels_of_the_cpu_want_them(avx512, channels, monkeypatch):
    monkeypatch.setattr(_cpuinfo, "has_avx512", lambda: avx512)
    inner, unsupported = ALGORITHMS["pad_channels"].inner, ALGORITHMS["pad_channels"].unsupported
    assert inner(ConvGeometry(5, 3, in_channels=8)).channels == channels
    assert inner(ConvGeometry(5, 3, in_channels=7)).channels == 8
    assert (unsupported(ConvGeometry(8, 3, in_channels=8)) is None) == avx512
    assert unsupported(ConvGeometry(16, 3, in_channels=8)).endswith(
        f"multiple of {channels} already"
    )
    g = ConvGeometry(5, 3, padding=1, in_channels=8)
    x, weight, bias = data(g, integers)
    y = ALGORITHMS["pad_channels"].run(nd, x, weight, bias, g)
    expected = oracle.convolve(*(a.asnumpy() for a in (x, weight, bias)), **arguments_of_oracle(g))
    assert equal("pad_channels", y, expected)


@pytest.mark.parametrize("c_i", [1, 3, 4])
def test_inf_spreads_to_its_tile_and_no_further(c_i):
    """Zeros of the larger kernel meet it there, and 0 times Inf is NaN; 'native' has none."""
    g = ConvGeometry(1, 3, padding=1, in_channels=c_i)
    x, weight = nd.ones((1, c_i, 16, 16)), nd.ones(g.weight_shape)
    x[0, 0, 8, 8] = np.inf
    native, tiled = (
        ALGORITHMS[name].run(nd, x, weight, None, g)[0, 0].asnumpy()
        for name in ("native", "depth_to_space")
    )
    assert np.isinf(native).sum() == 9 and not np.isnan(native).any()
    wrong = ~np.isclose(native, tiled, equal_nan=True)
    assert np.isnan(tiled[wrong]).all()
    rows, cols = np.nonzero(wrong)
    for places in (rows, cols):  # tiles of 4 x 4 or less, whose windows reach a little further
        assert 8 - 4 <= places.min() and places.max() <= 8 + 4

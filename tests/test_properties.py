"""Properties of the layer for random geometry, dtype, layout, padding, algorithm and hybridization.

`make test-all ARGS=tests/test_properties.py` tries the same few examples in every run; with
HYPOTHESIS_PROFILE=long in the environment it tries many new ones (conftest.py). Laws are told on
integers, whose sums are exact in any order. All arrays are NumPy's, in the order NCHW.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import oracle
from geometries import is_depthwise_only
from helpers import MODES, NUMPY_MODE, hybridize
from mxconv import MultiChannelConv2D, corr2d_multi_in_out, corr2d_multi_in_out_1x1
from mxconv.algorithms import NAMES
from mxconv.exercises import merge_convolutions, rounding_error_bound
from mxconv.exercises.rounding import gamma_n
from strategies import (
    TRANSFORMED,
    algorithms,
    any_case,
    as_pair,
    cases,
    numbers,
    transform_unit,
)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mxnet import autograd, nd
from mxnet.gluon import SymbolBlock, nn

pytestmark = pytest.mark.kernels

EVERY = pytest.mark.parametrize("name", NAMES)
OF_FEW_GROUPS = pytest.mark.parametrize("name", [n for n in NAMES if not is_depthwise_only(n)])


def in_layout(case, array, back=False):
    """An array (n, c, h, w) in the order of the case's layout, or back from there."""
    if case.layout == "NCHW" or array.ndim < 4:
        return array
    return array.transpose((0, 3, 1, 2) if back else (0, 2, 3, 1))


def build(case, name, weight, bias=None):
    """The layer of a case with these parameters."""
    waits = dict(in_channels=0) if case.deferred else {}
    layer = MultiChannelConv2D(**{**case.arguments, **waits}, algorithm=name)
    layer.initialize()
    hybridize(layer, case.mode)
    if case.deferred:
        layer(nd.zeros(in_layout(case, np.empty(case.shape)).shape, dtype=case.dtype))
    for parameter, values in ((layer.weight, weight), (layer.bias, bias)):
        if values is not None:
            parameter.set_data(nd.array(in_layout(case, values), dtype=case.dtype))
    return layer


def run(case, layer, x, dy=None):
    """[y] or, given a dy for it, [y, dx] and the gradients of the parameters."""
    x = nd.array(in_layout(case, x), dtype=case.dtype)
    if dy is None:
        arrays = [layer(x)]
    else:
        x.attach_grad()
        with autograd.record():
            y = layer(x)
        y.backward(nd.array(in_layout(case, dy), dtype=case.dtype))
        arrays = [y, x.grad] + [p.grad() for p in layer.collect_params().values()]
    assert all(array.dtype == np.dtype(case.dtype) for array in arrays)
    return [in_layout(case, array.asnumpy(), back=True) for array in arrays]


def convolve(case, name, x, weight, bias=None, dy=None):
    """What `run` gives for integers, computed by a new layer."""
    arrays = run(case, build(case, name, weight, bias), x, dy)
    return [np.rint(array) for array in arrays] if name in TRANSFORMED else arrays


def expected(case, x, weight, bias, dy):
    """[y, dx, dweight] and dbias, if there is a bias, by NumPy in float64."""
    around = [(0, 0), (0, 0), *case.margins]
    padded = np.pad(x, around, mode=NUMPY_MODE[case.padding_mode])
    geometry = dict(
        strides=as_pair(case.strides), dilation=as_pair(case.dilation), groups=case.groups
    )
    y = oracle.convolve(padded, weight, bias, **geometry)
    dpadded, dweight, dbias = oracle.gradients(padded, weight, dy, **geometry)
    dx = oracle.gathered(dpadded, x.shape, around, NUMPY_MODE[case.padding_mode])
    return [y, dx, dweight] + ([] if bias is None else [dbias])


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for name, a, b in zip(("y", "dx", "dweight", "dbias"), ours, theirs):
        assert a.shape == b.shape, name
        assert np.array_equal(a, b), f"{name} is off by {np.abs(a - b).max()}"


@EVERY
@given(st.data())
def test_integers_give_the_oracles_very_numbers(name, data):
    case = data.draw(cases(name))
    operands = numbers(case)
    assert_same(convolve(case, name, *operands), expected(case, *operands))


@EVERY
@given(st.data())
def test_real_numbers_stay_within_the_bound_of_rounding(name, data):
    """gamma_n sum|K||X|, and so for each gradient; the oracle rounds too, in float64."""
    case = data.draw(cases(name))
    x, weight, bias, dy = operands = numbers(case, real=True)

    def oracle_of(function):
        return expected(case, *(a if a is None else function(a) for a in operands))

    def largest(array):
        return np.full_like(array, np.abs(array).max())

    ours = run(case, build(case, name, weight, bias), x, dy)
    exact, terms, magnitudes = (oracle_of(f) for f in (np.asarray, np.ones_like, np.abs))
    spread = oracle_of(largest) if name in TRANSFORMED else magnitudes
    assert len(ours) == len(exact)
    for array, value, count, magnitude, reached in zip(ours, exact, terms, magnitudes, spread):
        n, finfo = int(count.max()), np.finfo(case.dtype)
        bound = gamma_n(n, finfo.eps / 2) * magnitude + n * finfo.tiny
        if name in TRANSFORMED:
            n, reached = n + x.size, reached.max()
        bound += gamma_n(n, transform_unit(name, case.dtype)) * reached
        assert array.shape == value.shape
        assert (np.abs(array - value) <= bound).all()


@given(st.data())
def test_the_chapters_functions_stay_within_their_rounding_bound(data):
    case = data.draw(any_case(strides=1, padding="valid", dilation=1, groups=1, n=1))
    x, weight = (nd.array(a, dtype=case.dtype) for a in numbers(case, real=True)[:2])
    exact = oracle.convolve(x.asnumpy(), weight.asnumpy())[0]
    bound = rounding_error_bound(x[0], weight).asnumpy()
    if case.dtype == "float64":
        bound = 2 * bound  # the oracle rounds as much
    for function in (corr2d_multi_in_out, corr2d_multi_in_out_1x1):
        if function is corr2d_multi_in_out or weight.shape[2:] == (1, 1):
            assert (np.abs(function(x[0], weight).asnumpy() - exact) <= bound).all()


@pytest.mark.slow
@EVERY
@given(st.data())
def test_a_layer_is_linear_in_the_input_and_in_the_kernel(name, data):
    case = data.draw(cases(name, use_bias=False))
    x, weight = numbers(case)[:2]
    x2, weight2 = numbers(replace(case, seed=case.seed ^ 1))[:2]
    a, b = data.draw(st.integers(-3, 3)), data.draw(st.integers(-3, 3))
    (y,), (of_x2,), (of_weight2,) = (
        convolve(case, name, *operands) for operands in ((x, weight), (x2, weight), (x, weight2))
    )
    assert_same(convolve(case, name, a * x + b * x2, weight), [a * y + b * of_x2])
    assert_same(convolve(case, name, x, a * weight + b * weight2), [a * y + b * of_weight2])


@EVERY
@given(st.data())
def test_an_impulse_gives_back_the_flipped_kernel(name, data):
    """With the kernel's full reach as padding; a stride shows every s-th row and column of it."""
    case = data.draw(
        cases(
            name,
            padding=lambda window: tuple(w - 1 for w in window),
            padding_mode="zeros",
            use_bias=False,
        )
    )
    _, weight, _, _ = numbers(case)
    c, i, j = (data.draw(st.integers(0, size - 1)) for size in case.shape[1:])
    x = np.zeros(case.shape)
    x[:, c, i, j] = 1
    group, channel = divmod(c, case.weight_shape[1])
    of_group = np.arange(case.channels) // (case.channels // case.groups) == group
    (w_h, w_w), (d_h, d_w), (s_h, s_w) = case.window, as_pair(case.dilation), as_pair(case.strides)
    response = np.zeros(
        (case.shape[0], case.channels, case.shape[2] + w_h - 1, case.shape[3] + w_w - 1)
    )
    flipped = weight[of_group, channel, ::-1, ::-1]
    response[:, of_group, i : i + w_h : d_h, j : j + w_w : d_w] = flipped
    assert_same(convolve(case, name, x, weight), [response[:, :, ::s_h, ::s_w]])


@pytest.mark.slow
@EVERY
@given(st.data())
def test_a_translated_input_gives_the_translated_output(name, data):
    case = data.draw(cases(name, padding="valid", outputs=3))
    x, weight, bias, _ = numbers(case)
    a, b = (data.draw(st.integers(0, 2)) for _ in range(2))
    s_h, s_w = as_pair(case.strides)
    (y,) = convolve(case, name, x, weight, bias)
    moved = convolve(case, name, x[:, :, a * s_h :, b * s_w :], weight, bias)
    assert_same(moved, [y[:, :, a:, b:]])


@pytest.mark.slow
@EVERY
@given(st.data())
def test_a_rolled_input_gives_the_rolled_output_with_circular_padding(name, data):
    def around(window):
        return tuple(((w - 1) // 2, w // 2) for w in window)

    case = data.draw(cases(name, padding=around, padding_mode="circular", whole=True))
    x, weight, bias, dy = numbers(case)
    by = data.draw(st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
    by_x = tuple(a * s for a, s in zip(by, as_pair(case.strides)))

    def roll(array, by):
        return np.roll(array, by, axis=(2, 3))

    still = convolve(case, name, x, weight, bias, dy)
    rolled = convolve(case, name, roll(x, by_x), weight, bias, roll(dy, by))
    turned = [roll(array, b) for array, b in zip(still, (by, by_x))]  # y and dx
    assert_same(rolled, turned + still[2:])


@pytest.mark.slow
@EVERY
@given(st.data())
def test_permuted_channels_permute_what_belongs_to_them(name, data):
    """Groups change places, and channels within them; so do the filters, and their gradients."""
    case = data.draw(cases(name))
    x, weight, bias, dy = numbers(case)
    random = np.random.RandomState(case.seed ^ 1)
    groups = random.permutation(case.groups)
    inner = [random.permutation(case.weight_shape[1]) for _ in groups]
    c_i, c_o = case.in_channels // case.groups, case.channels // case.groups
    inputs = np.concatenate([g * c_i + inner[g] for g in groups])
    outputs = np.concatenate([g * c_o + random.permutation(c_o) for g in groups])

    def permuted(kernel):
        return np.stack([kernel[o, inner[o // c_o]] for o in outputs])

    y, dx, dweight, *dbias = convolve(case, name, x, weight, bias, dy)
    ours = convolve(
        case,
        name,
        x[:, inputs],
        permuted(weight),
        None if bias is None else bias[outputs],
        dy[:, outputs],
    )
    theirs = [y[:, outputs], dx[:, inputs], permuted(dweight)] + [d[outputs] for d in dbias]
    assert_same(ours, theirs)


@pytest.mark.slow
@EVERY
@given(st.data())
def test_examples_of_a_batch_do_not_touch_each_other(name, data):
    """Each has its output and gradient as if alone; those of the parameters are the sums."""
    case = data.draw(cases(name, n=3))
    x, weight, bias, dy = numbers(case)
    one = replace(case, shape=(1,) + case.shape[1:])
    alone = zip(
        *(
            convolve(one, name, part, weight, bias, of_part)
            for part, of_part in zip(np.split(x, 3), np.split(dy, 3))
        )
    )
    y, dx, *gradients = alone
    theirs = [np.concatenate(parts) for parts in (y, dx)] + [sum(parts) for parts in gradients]
    assert_same(convolve(case, name, x, weight, bias, dy), theirs)


@pytest.mark.slow
@OF_FEW_GROUPS
@given(st.data())
def test_groups_are_convolutions_of_their_own_side_by_side(name, data):
    """The named algorithm computes the groups, and any that is for it the whole."""
    part = data.draw(cases(name, groups=1))
    g = data.draw(st.integers(2, 3))
    n, c_i, h, w = part.shape
    whole = replace(
        part,
        groups=g,
        channels=g * part.channels,
        in_channels=g * c_i,
        shape=(n, g * c_i, h, w),
    )
    other = data.draw(algorithms(whole))
    x, weight, bias, dy = numbers(whole)
    biases = [None] * g if bias is None else np.split(bias, g)
    parts = [
        convolve(part, name, *operands)
        for operands in zip(np.split(x, g, 1), np.split(weight, g), biases, np.split(dy, g, 1))
    ]
    theirs = [np.concatenate(a, axis=axis) for axis, a in zip((1, 1, 0, 0), zip(*parts))]
    assert_same(convolve(whole, other, x, weight, bias, dy), theirs)


@pytest.mark.slow
@OF_FEW_GROUPS
@given(st.data())
def test_composed_layers_equal_a_network_of_the_two(name, data):
    """The named algorithm computes the second of them, and any that is for it the first."""
    first = data.draw(any_case(outputs=5))
    other = data.draw(algorithms(first))
    divisors = [g for g in (1, 2, 3) if first.channels % g == 0]
    second = data.draw(
        cases(
            name,
            kernel_size=st.integers(1, 3),
            dilation=st.integers(1, 2),
            padding="valid",
            padding_mode="zeros",
            in_channels=first.channels,
            groups=st.sampled_from(divisors),
            channels=st.sampled_from([6, 18]),
            layout=first.layout,
            dtype=first.dtype,
        )
    )
    second = replace(second, shape=first.output_shape)
    x, *of_first, _ = numbers(first)
    _, *of_second, dy = numbers(second)
    net = nn.HybridSequential()
    net.add(build(first, other, *of_first), build(second, name, *of_second))
    hybridize(net, first.mode)
    in_a_row = run(first, net, x, dy)[:2]
    if {name, other} & TRANSFORMED:
        in_a_row = [np.rint(array) for array in in_a_row]
    assert_same(in_a_row, run(first, merge_convolutions(*net), x, dy)[:2])


@pytest.mark.slow
@EVERY
@given(st.data())
def test_hybridized_equals_eager_for_one_shape_after_another(name, data):
    mode = data.draw(st.sampled_from([mode for mode in MODES if mode != "eager"]))
    case = data.draw(cases(name, mode=mode))
    x, weight, bias, dy = numbers(case)
    twins = [build(c, name, weight, bias) for c in (case, replace(case, mode="eager"))]
    n, c_i, h, w = case.shape
    for shape in (case.shape, (n + 1, c_i, h + 4, w + 3), case.shape):
        x, _, _, dy = numbers(replace(case, shape=shape))
        hybrid, eager = (run(case, layer, x, dy) for layer in twins)
        assert_same(hybrid, eager)


@pytest.mark.slow
@EVERY
@given(st.data())
def test_loaded_equals_saved(name, data):
    """The parameters, in a new layer; and the exported graph with them, in a `SymbolBlock`."""
    case = data.draw(cases(name, mode=st.sampled_from([mode for mode in MODES if mode != "eager"])))
    x, weight, bias, dy = numbers(case)
    layer = build(case, name, weight, bias)
    results = run(case, layer, x, dy)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "layer")
        layer.save_parameters(path)
        layer.export(path)
        loaded = build(case, name, np.zeros(weight.shape))
        loaded.load_parameters(path)
        graph = SymbolBlock.imports(path + "-symbol.json", ["data"], path + "-0000.params")
    for twin in (loaded, graph):
        assert_same(run(case, twin, x, dy), results)

import doctest
from functools import partial

import helpers
import oracle
from helpers import K3, K, X, labels
from mxconv import (
    corr2d,
    corr2d_loops,
    corr2d_multi_in,
    corr2d_multi_in_out,
    corr2d_multi_in_out_1x1,
    reference,
)
from mxconv.algorithms.definition import chapter_over

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd

integers = partial(helpers.integers, most=9)

SHAPES = [  # c_o, c_i, h, w, k_h, k_w
    (1, 1, 1, 1, 1, 1),
    (3, 2, 3, 3, 2, 2),
    (2, 3, 5, 4, 1, 1),
    (4, 1, 7, 5, 3, 2),
    (1, 5, 4, 9, 4, 9),
    (2, 2, 6, 3, 1, 3),
]
EVERY_SHAPE = pytest.mark.parametrize(
    "shape", SHAPES, ids=labels("c_o, c_i, h, w, k_h, k_w", SHAPES)
)


def expected(x, k):
    """The oracle for one example: x (c_i, h, w), k (c_o, c_i, k_h, k_w)."""
    return oracle.convolve(x.asnumpy()[None], k.asnumpy())[0]


def slide(x, k):
    """The window slid element by element, as the section before the chapter writes it."""
    h, w = k.shape
    y = np.zeros((x.shape[0] - h + 1, x.shape[1] - w + 1), x.dtype)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = (x[i : i + h, j : j + w] * k).sum()
    return y


def test_the_chapter_prints():
    assert np.array_equal(corr2d_multi_in(X, K).asnumpy(), [[56, 72], [104, 120]])
    assert np.array_equal(
        corr2d_multi_in_out(X, K3).asnumpy(),
        [[[56, 72], [104, 120]], [[76, 100], [148, 172]], [[96, 128], [192, 224]]],
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64", "uint8"])
@pytest.mark.parametrize("function", [corr2d_loops, corr2d])
def test_corr2d_slides_the_window(function, dtype):
    x, k = (
        np.random.randint(0, 4, (6, 5)).astype(dtype),
        np.random.randint(0, 4, (3, 2)).astype(dtype),
    )
    y = function(nd.array(x, dtype=dtype), nd.array(k, dtype=dtype))
    assert y.dtype == np.dtype(dtype)
    assert np.array_equal(y.asnumpy(), slide(x, k))


@EVERY_SHAPE
def test_the_sum_over_the_kernel_equals_the_double_loop(shape, ctx):
    *_, h, w, k_h, k_w = shape
    x, k = integers((h, w), ctx=ctx), integers((k_h, k_w), ctx=ctx)
    y, by_loops = corr2d(x, k), corr2d_loops(x, k)
    assert by_loops.context == y.context == ctx
    assert by_loops.shape == y.shape == (h - k_h + 1, w - k_w + 1)
    assert np.array_equal(by_loops.asnumpy(), y.asnumpy())


@EVERY_SHAPE
def test_integers_are_exact(shape, ctx):
    c_o, c_i, h, w, k_h, k_w = shape
    x, k = integers((c_i, h, w), ctx=ctx), integers((c_o, c_i, k_h, k_w), ctx=ctx)
    y = corr2d_multi_in_out(x, k)
    assert y.context == ctx
    assert np.array_equal(y.asnumpy(), expected(x, k))
    assert np.array_equal(corr2d_multi_in(x, k[0]).asnumpy(), expected(x, k)[0])
    if k_h == k_w == 1:
        assert np.array_equal(corr2d_multi_in_out_1x1(x, k).asnumpy(), expected(x, k))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@EVERY_SHAPE
def test_real_data_is_within_the_rounding_bound(shape, dtype):
    c_o, c_i, h, w, k_h, k_w = shape
    x = nd.random.normal(shape=(c_i, h, w), dtype=dtype)
    k = nd.random.normal(shape=(c_o, c_i, k_h, k_w), dtype=dtype)
    y = corr2d_multi_in_out(x, k)
    assert y.dtype == np.dtype(dtype)
    oracle.assert_within(
        y, expected(x, k), expected(x.abs(), k.abs()), dtype, terms=2 * c_i * k_h * k_w
    )


@pytest.mark.parametrize("function", [corr2d_multi_in_out, corr2d_multi_in_out_1x1])
def test_gradients(function):
    size = 1 if function is corr2d_multi_in_out_1x1 else 2
    x, k = integers((2, 4, 5)), integers((3, 2, size, size))
    x.attach_grad()
    k.attach_grad()
    with autograd.record():
        y = function(x, k)
    dy = integers(y.shape)
    y.backward(dy)
    dx, dk, _ = oracle.gradients(x.asnumpy()[None], k.asnumpy(), dy.asnumpy()[None])
    assert np.array_equal(x.grad.asnumpy(), dx[0])
    assert np.array_equal(k.grad.asnumpy(), dk)


def test_mxnet_does_not_differentiate_the_double_loop():
    """As its docstring says, and why `corr2d` isn't written this way."""
    x = integers((3, 3))
    x.attach_grad()
    with pytest.raises(mx.MXNetError, match="not supported when recording with autograd"):
        with autograd.record():
            corr2d_loops(x, integers((2, 2)))


@pytest.mark.parametrize("rank", [2, 3])  # of a plane: (h, w), and (n, h, w) for a batch of them
def test_planes_and_taps_trace(rank):
    """The functions over symbols, as the layer's 'definition' uses them."""
    names = [f"x{c}" for c in range(2)]
    planes = [mx.sym.var(name) for name in names]
    taps = [[[mx.sym.var(f"k{c}{a}{b}") for b in range(2)] for a in range(2)] for c in range(2)]
    y = chapter_over(mx.sym)(planes, [taps])
    values = dict(zip(names, X if rank == 2 else X.expand_dims(1)))
    values.update({f"k{c}{a}{b}": K[c][a][b] for c in range(2) for a in range(2) for b in range(2)})
    expected = np.reshape([[56, 72], [104, 120]], (1,) * (rank - 1) + (2, 2))
    assert np.array_equal(y.eval(**values)[0].asnumpy(), expected)


@pytest.mark.parametrize("F", [nd, mx.sym])
def test_the_layer_runs_the_very_code_of_the_functions(F):
    function = chapter_over(F)
    assert function.__code__ is corr2d_multi_in_out.__wrapped__.__code__
    namespace = function.__globals__
    assert namespace["nd"] is F
    for public in (corr2d_multi_in, corr2d):
        assert namespace[public.__name__].__code__ is public.__wrapped__.__code__
        assert namespace[public.__name__].__globals__ is namespace
    assert reference.nd is nd and reference.corr2d is corr2d  # these stay as they were


def test_the_examples_in_the_docstrings_are_found_behind_the_decorator():
    results = doctest.testmod(reference)
    assert results.attempted >= 4 and results.failed == 0


BAD = [  # function, X, K, the error, what its message has to say
    (corr2d, X, K, ValueError, ["(2, 3, 3)", "(2, 2, 2)", "(h, w)", "(k_h, k_w)"]),
    (corr2d, X[0], nd.ones((4, 1)), ValueError, ["(3, 3)", "(4, 1)", "no larger"]),
    (corr2d, X[0], nd.ones((1, 4)), ValueError, ["(3, 3)", "(1, 4)", "no larger"]),
    (corr2d, X[0].asnumpy(), K[0], TypeError, ["X", "numpy.ndarray"]),
    (corr2d, X[0], [[0, 1], [2, 3]], TypeError, ["K", "list"]),
    (corr2d, X[0], K[0].astype("int32"), TypeError, ["float32", "int32"]),
    (corr2d, X[0], K[0].as_in_context(mx.cpu(1)), ValueError, ["cpu(0)", "cpu(1)"]),
    (corr2d, X[0].as_np_ndarray(), K[0], TypeError, ["as_nd_ndarray()"]),
    (corr2d, X[0].tostype("csr"), K[0], TypeError, ["CSRNDArray", "tostype('default')"]),
    (corr2d, X[0], K[0].tostype("row_sparse"), TypeError, ["K", "tostype('default')"]),
    (corr2d_loops, X, K, ValueError, ["corr2d_loops", "(2, 3, 3)", "(2, 2, 2)", "(h, w)"]),
    (corr2d_loops, X[0], nd.ones((4, 1)), ValueError, ["(3, 3)", "(4, 1)", "no larger"]),
    (corr2d_loops, X[0], nd.ones((1, 4)), ValueError, ["(3, 3)", "(1, 4)", "no larger"]),
    (corr2d_loops, X[0].asnumpy(), K[0], TypeError, ["X", "numpy.ndarray"]),
    (corr2d_loops, X[0], K[0].astype("int32"), TypeError, ["float32", "int32"]),
    (corr2d_loops, X[0], K[0].as_in_context(mx.cpu(1)), ValueError, ["cpu(0)", "cpu(1)"]),
    (corr2d_multi_in, X, K[:1], ValueError, ["(2, 3, 3)", "(1, 2, 2)", "2 channels", "1"]),
    (corr2d_multi_in, X[:1], K, ValueError, ["(1, 3, 3)", "(2, 2, 2)"]),
    (corr2d_multi_in, X, nd.stack(K, K), ValueError, ["(2, 3, 3)", "(2, 2, 2, 2)"]),
    (corr2d_multi_in_out, X, K, ValueError, ["(2, 3, 3)", "(2, 2, 2)"]),
    # The cell `K = nd.stack(K, K + 1, K + 2)` run twice.
    (
        corr2d_multi_in_out,
        X,
        nd.stack(nd.stack(K, K), nd.stack(K, K)),
        ValueError,
        ["(2, 2, 2, 2, 2)"],
    ),
    (corr2d_multi_in_out, X, nd.ones((3, 1, 2, 2)), ValueError, ["(2, 3, 3)", "(3, 1, 2, 2)"]),
    (corr2d_multi_in_out, X, nd.ones((3, 2, 4, 2)), ValueError, ["(2, 3, 3)", "(3, 2, 4, 2)"]),
    (
        corr2d_multi_in_out_1x1,
        X,
        nd.ones((3, 2, 2, 1)),
        ValueError,
        ["1x1", "(2, 3, 3)", "(3, 2, 2, 1)"],
    ),
    (corr2d_multi_in_out_1x1, X, nd.ones((3, 1, 1, 1)), ValueError, ["(2, 3, 3)", "(3, 1, 1, 1)"]),
    (corr2d_multi_in_out_1x1, X, K, ValueError, ["(2, 3, 3)", "(2, 2, 2)"]),
    (
        corr2d_multi_in_out_1x1,
        X.astype("int32"),
        nd.ones((3, 2, 1, 1), dtype="int32"),
        TypeError,
        ["int32", "float32"],
    ),
]


def empty(*shape):
    with mx.util.np_shape(True):
        return mx.np.ones(shape).as_nd_ndarray()


@pytest.mark.parametrize(
    "function, x, k",
    [
        (corr2d, X[0], empty(0, 2)),
        (corr2d, X[0], empty(2, 0)),
        (corr2d_loops, X[0], empty(0, 2)),
        (corr2d_multi_in, empty(0, 3, 3), empty(0, 2, 2)),
        (corr2d_multi_in_out, X, empty(0, 2, 2, 2)),
        (corr2d_multi_in_out_1x1, X, empty(0, 2, 1, 1)),
    ],
)
def test_empty_operands_are_refused_with_their_shapes(function, x, k):
    with pytest.raises(ValueError, match="neither empty") as caught:
        function(x, k)
    assert f"X.shape={x.shape}, K.shape={k.shape}" in str(caught.value)


@pytest.mark.parametrize("function, x, k, error, says", BAD)
def test_bad_input_is_refused_at_the_call(function, x, k, error, says):
    with pytest.raises(error) as caught:
        function(x, k)
    for words in says:
        assert words in str(caught.value)

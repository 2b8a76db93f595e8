import oracle
from mxconv import corr2d, corr2d_multi_in, corr2d_multi_in_out, corr2d_multi_in_out_1x1
from mxconv.reference import Split

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd

X = nd.array([[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
K = nd.array([[[0, 1], [2, 3]], [[1, 2], [3, 4]]])
SHAPES = [  # c_o, c_i, h, w, k_h, k_w
    (1, 1, 1, 1, 1, 1),
    (3, 2, 3, 3, 2, 2),
    (2, 3, 5, 4, 1, 1),
    (4, 1, 7, 5, 3, 2),
    (1, 5, 4, 9, 4, 9),
    (2, 2, 6, 3, 1, 3),
]


def expected(x, k):
    """The oracle for one example: x (c_i, h, w), k (c_o, c_i, k_h, k_w)."""
    return oracle.convolve(x.asnumpy()[None], k.asnumpy())[0]


def integers(shape, dtype="float32", ctx=None):
    return nd.array(np.random.randint(-9, 10, shape), dtype=dtype, ctx=ctx or mx.cpu())


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
        corr2d_multi_in_out(X, nd.stack(K, K + 1, K + 2)).asnumpy(),
        [[[56, 72], [104, 120]], [[76, 100], [148, 172]], [[96, 128], [192, 224]]],
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64", "uint8"])
def test_corr2d_slides_the_window(dtype):
    x, k = (
        np.random.randint(0, 4, (6, 5)).astype(dtype),
        np.random.randint(0, 4, (3, 2)).astype(dtype),
    )
    y = corr2d(nd.array(x, dtype=dtype), nd.array(k, dtype=dtype))
    assert y.dtype == np.dtype(dtype)
    assert np.array_equal(y.asnumpy(), slide(x, k))


@pytest.mark.parametrize("shape", SHAPES)
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
@pytest.mark.parametrize("shape", SHAPES)
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


def test_planes_and_taps_trace():
    """The functions over symbols, as the layer's 'definition' uses them."""
    names = [f"x{c}" for c in range(2)]
    planes = Split(mx.sym.var(name) for name in names)
    taps = Split(
        Split(Split(mx.sym.var(f"k{c}{a}{b}") for b in range(2)) for a in range(2))
        for c in range(2)
    )
    y = corr2d_multi_in(planes, taps)
    values = dict(zip(names, X))
    values.update({f"k{c}{a}{b}": K[c][a][b] for c in range(2) for a in range(2) for b in range(2)})
    assert np.array_equal(y.eval(**values)[0].asnumpy(), [[56, 72], [104, 120]])


BAD = [  # function, X, K, the error, what its message has to say
    (corr2d, X, K, ValueError, ["(2, 3, 3)", "(2, 2, 2)", "(h, w)", "(k_h, k_w)"]),
    (corr2d, X[0], nd.ones((4, 1)), ValueError, ["(3, 3)", "(4, 1)", "no larger"]),
    (corr2d, X[0], nd.ones((1, 4)), ValueError, ["(3, 3)", "(1, 4)", "no larger"]),
    (corr2d, X[0].asnumpy(), K[0], TypeError, ["X", "numpy.ndarray"]),
    (corr2d, X[0], [[0, 1], [2, 3]], TypeError, ["K", "list"]),
    (corr2d, X[0], K[0].astype("int32"), TypeError, ["float32", "int32"]),
    (corr2d, X[0], K[0].as_in_context(mx.cpu(1)), ValueError, ["cpu(0)", "cpu(1)"]),
    (corr2d, X[0].as_np_ndarray(), K[0], TypeError, ["as_nd_ndarray()"]),
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

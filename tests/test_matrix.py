from functools import partial

import helpers
import oracle
from helpers import labels
from mxconv import MultiChannelConv2D, corr2d_multi_in_out
from mxconv.exercises import convolution_matrix

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd

integers = partial(helpers.integers, most=9)

CASES = [  # c_o, c_i, (k_h, k_w), (h, w), strides, padding, dilation
    (1, 1, (1, 1), (1, 1), 1, 0, 1),
    (1, 1, (2, 2), (3, 3), 1, 0, 1),
    (3, 2, (2, 3), (5, 4), 1, 0, 1),
    (2, 3, (3, 3), (4, 5), 1, 1, 1),
    (2, 2, (3, 2), (7, 6), (2, 3), (1, 2), 1),
    (2, 1, (2, 3), (6, 7), 1, (0, 2), (3, 2)),
    (1, 2, (5, 5), (3, 4), 2, 2, 1),
    (1, 1, (1, 1), (3, 3), 4, 2, 1),
    (2, 1, (2, 3), (4, 5), (2, 1), ((0, 1), (2, 0)), (1, 2)),
    (1, 2, (3, 2), (4, 4), 1, "same", 1),
    (1, 1, (2, 2), (3, 3), 2**31 - 1, 0, 1),
]


CASE = "c_o, c_i, kernel, size, strides, padding, dilation"


@pytest.mark.parametrize(CASE, CASES, ids=labels(CASE, CASES))
def test_the_product_is_the_convolution_and_that_of_the_transpose_its_gradient(
    c_o, c_i, kernel, size, strides, padding, dilation
):
    layer = MultiChannelConv2D(
        c_o, kernel, strides, padding, dilation, use_bias=False, in_channels=c_i
    )
    layer.initialize()
    layer.weight.set_data(integers(layer.weight.shape))
    x = integers((1, c_i) + size)
    x.attach_grad()
    with autograd.record():
        y = layer(x)
    dy = integers(y.shape)
    y.backward(dy)
    matrix = convolution_matrix(
        layer.weight.data(), (c_i,) + size, strides, padding, dilation
    ).asnumpy()
    assert np.array_equal(matrix @ x.asnumpy().ravel(), y.asnumpy().ravel())
    assert np.array_equal(matrix.T @ dy.asnumpy().ravel(), x.grad.asnumpy().ravel())


def test_the_product_is_the_chapters_function():
    x, k = integers((2, 5, 4)), integers((3, 2, 2, 3))
    y = nd.dot(convolution_matrix(k, x.shape), x.reshape(-1)).reshape((3, 4, 2))
    assert np.array_equal(y.asnumpy(), corr2d_multi_in_out(x, k).asnumpy())


def test_blocks_are_toeplitz_matrices_of_toeplitz_blocks():
    k_h, k_w, h, w = 2, 3, 5, 6
    taps = np.random.randint(1, 10, (k_h, k_w))
    matrix = convolution_matrix(nd.array(taps[None, None]), (1, h, w)).asnumpy()
    o_h, o_w = h - k_h + 1, w - k_w + 1
    blocks = matrix.reshape(o_h, o_w, h, w).transpose(0, 2, 1, 3)
    for i in range(o_h):
        for r in range(h):
            a = r - i
            for j in range(o_w):
                for s in range(w):
                    inside = 0 <= a < k_h and 0 <= s - j < k_w
                    assert blocks[i, r, j, s] == (taps[a, s - j] if inside else 0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_dtype_and_context_are_those_of_the_kernel(ctx, dtype):
    matrix = convolution_matrix(nd.ones((2, 1, 2, 2), dtype=dtype, ctx=ctx), (1, 3, 3))
    assert matrix.dtype == np.dtype(dtype)
    assert matrix.context == ctx
    assert (
        oracle.convolve(np.ones((1, 1, 3, 3)), np.ones((2, 1, 2, 2))).sum()
        == matrix.sum().asscalar()
    )


@pytest.mark.parametrize(
    "K, input_shape, error, says",
    [
        (nd.ones((2, 2)), (1, 3, 3), ValueError, r"\(c_o, c_i, k_h, k_w\).*\(2, 2\)"),
        (nd.ones((1, 1, 2, 2)), (3, 3), ValueError, r"\(c_i, h, w\).*input_shape=\(3, 3\)"),
        (nd.ones((1, 1, 2, 2)), 9, TypeError, "tuple of integers.*input_shape=9"),
        (np.ones((1, 1, 2, 2)), (1, 3, 3), TypeError, "NDArray.*numpy.ndarray"),
        (
            nd.ones((1, 2, 2, 2)),
            (1, 3, 3),
            ValueError,
            r"same number of input channels.*\(1, 3, 3\)",
        ),
        (nd.ones((1, 1, 4, 2)), (1, 3, 3), ValueError, r"kernel is larger.*=\(1, 3, 3\)"),
        (nd.ones((1, 1, 1, 1)), (1, 300, 300), ValueError, "8100000000 elements.*indexes at most"),
    ],
)
def test_bad_input(K, input_shape, error, says):
    with pytest.raises(error, match=says):
        convolution_matrix(K, input_shape)
    mx.nd.waitall()

"""Convolution as one matrix: the chapter's last exercise, in its other form.

`algorithm='matmul'` gathers windows of the input into columns and keeps the kernel small. Here the
input stays as it is, and the kernel becomes a large sparse matrix.
"""

import numpy as np
from mxnet import nd

from . import _checks
from .geometry import MOST_ELEMENTS, ConvGeometry


def toeplitz(K, input_shape, strides=1, padding=0, dilation=1):
    """The matrix T with vec(Y) = T vec(X), where Y is the cross-correlation of X with K.

    vec reads an array in row-major order. T has a block for each pair of an output and an input
    channel; a block is a Toeplitz matrix of Toeplitz blocks (with stride 1), one per row of the
    kernel. Its transpose is the gradient: vec(dX) = T' vec(dY).

    Parameters
    ----------
    K : NDArray of shape (c_o, c_i, k_h, k_w)
    input_shape : tuple (c_i, h, w)
    strides, padding, dilation : int or pair of int
        As in `MultiChannelConv2D`.

    Returns
    -------
    NDArray of shape (c_o o_h o_w, c_i h w), of K's dtype and context

    Raises
    ------
    ValueError, TypeError
        A K or an input_shape of another rank or number of channels, an argument that can't be, or a
        matrix of more elements than MXNet can index.

    Examples
    --------
    >>> print(toeplitz(nd.array([[[[1, 2]]]]), (1, 1, 4)))
    <BLANKLINE>
    [[1. 2. 0. 0.]
     [0. 1. 2. 0.]
     [0. 0. 1. 2.]]
    <NDArray 3x4 @cpu(0)>
    """
    if _checks.ndarray("K", K).ndim != 4:
        raise ValueError(
            f"toeplitz: expected K of shape (c_o, c_i, k_h, k_w), received K.shape={K.shape}"
        )
    c_o, c_i, *kernel = K.shape
    geometry = ConvGeometry(c_o, kernel, strides, padding, dilation, in_channels=c_i)
    output_size = geometry.output_shape((1, *input_shape))[2:]
    elements = c_o * int(np.prod(output_size)) * int(np.prod(input_shape))
    if elements > MOST_ELEMENTS:
        raise ValueError(
            f"toeplitz: the matrix would have {elements} elements, MXNet indexes at most "
            f"{MOST_ELEMENTS}; received K.shape={K.shape}, input_shape={tuple(input_shape)}"
        )
    rows, cols = (
        _selections(*sizes)
        for sizes in zip(
            output_size,
            input_shape[1:],
            geometry.kernel_size,
            geometry.strides,
            geometry.padding,
            geometry.dilation,
        )
    )
    taps = K.asnumpy()
    matrix = sum(
        np.kron(taps[:, :, a, b], np.kron(rows[a], cols[b]))
        for a in range(kernel[0])
        for b in range(kernel[1])
    )
    return nd.array(matrix, dtype=K.dtype, ctx=K.context)


def _selections(outputs, inputs, taps, stride, padding, dilation):
    """Per tap, the matrix (outputs, inputs) of ones that picks the element each output meets."""
    return [
        np.eye(outputs * stride, inputs, a * dilation - padding, dtype=np.uint8)[::stride]
        for a in range(taps)
    ]

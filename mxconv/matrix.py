"""Convolution as one matrix: the chapter's last exercise, in its other form.

`algorithm='matmul'` gathers windows of the input into columns and keeps the kernel small. Here the
input stays as it is, and the kernel becomes a large sparse matrix.
"""

from math import prod

import numpy as np
from mxnet import nd

from . import _checks
from .geometry import ConvGeometry


def toeplitz(K, input_shape, strides=1, padding=0, dilation=1):
    """The matrix T with vec(Y) = T vec(X), where Y is the cross-correlation of X with K.

    vec reads an array in row-major order. T has a block for each pair of an output and an input
    channel; a block is a Toeplitz matrix of Toeplitz blocks (with stride 1), one per row of the
    kernel. Its transpose is the gradient: vec(dX) = T' vec(dY).

    Parameters
    ----------
    K : NDArray of shape (c_o, c_i, k_h, k_w)
    input_shape : tuple (c_i, h, w)
    strides, padding, dilation
        As in `MultiChannelConv2D`, the padding being of zeros.

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
    c_o, c_i, *kernel = _checks.four_axes("K", K).shape
    channels, *size = _checks.input_shape(input_shape, _checks.X_AXES[3], rank=3)
    received = f"received K.shape={K.shape}, input_shape={input_shape}"
    if channels != c_i:
        raise ValueError(f"expected as many channels in K and in input_shape, {received}")
    geometry = ConvGeometry(c_o, kernel, strides, padding, dilation, in_channels=c_i)
    output_size = geometry.output_size(size, received)
    shape = c_o * prod(output_size), c_i * prod(size)
    _checks.indexable("the matrix", shape, received)
    rows, cols = (
        _selections(*sizes)
        for sizes in zip(
            output_size,
            size,
            geometry.kernel_size,
            geometry.strides,
            geometry.margins,
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


def _selections(outputs, inputs, taps, stride, margin, dilation):
    """Per tap, the boolean matrix (outputs, inputs) that picks the element each output meets."""
    begins = stride * np.arange(outputs)[:, None] - margin[0]
    return [begins + a * dilation == np.arange(inputs) for a in range(taps)]

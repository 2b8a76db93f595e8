"""A convolution as one matrix: the chapter's sixth exercise, answered the other way around.

`algorithm='im2col'` copies the windows of the input into columns and keeps the kernel small. Here
the input stays as it is, and the kernel becomes a large sparse matrix.
"""

from math import prod
from typing import Any, List, Tuple

import numpy as np
from mxnet import nd

from .. import _checks
from ..geometry import ConvGeometry


def convolution_matrix(
    K: Any,
    input_shape: Tuple[int, int, int],
    strides: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
) -> Any:
    """Return the matrix T with ``vec(Y) = T vec(X)``, where Y is the cross-correlation of X and K.

    vec lists the elements of an array in row-major order. T has one block for each pair of an
    output channel and an input channel. With stride 1, each block is a Toeplitz matrix of Toeplitz
    blocks, one for each row of the kernel. The transpose carries gradients back:
    ``vec(dX) = T.T vec(dY)``.

    Parameters
    ----------
    K : NDArray of shape (c_o, c_i, k_h, k_w)
    input_shape : tuple (c_i, h, w)
    strides, padding, dilation
        As in `MultiChannelConv2D`; the padding holds zeros.

    Returns
    -------
    NDArray of shape (c_o o_h o_w, c_i h w)
        With the dtype and context of K.

    Raises
    ------
    ValueError
        If K or `input_shape` has the wrong rank, their channels don't match, another argument is
        out of range, or the matrix would have more elements than MXNet can index.
    TypeError
        If K isn't an NDArray, or another argument isn't made of integers.

    References
    ----------
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning",
    arXiv:1603.07285, section 4.1.

    Examples
    --------
    >>> print(convolution_matrix(nd.array([[[[1, 2]]]]), (1, 1, 4)))
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
        raise ValueError(
            f"expected the same number of input channels in K and in input_shape, {received}"
        )
    geometry = ConvGeometry(c_o, kernel, strides, padding, dilation, in_channels=c_i)
    output_size = geometry.output_size(size, received)
    shape = c_o * prod(output_size), c_i * prod(size)
    _checks.indexable("the matrix", shape, received)
    rows, columns = (
        _selections(*sizes)
        for sizes in zip(
            output_size,
            size,
            geometry.kernel_size,
            geometry.strides,
            geometry.pads,
            geometry.dilation,
        )
    )
    taps = K.asnumpy()
    matrix = sum(
        np.kron(taps[:, :, a, b], np.kron(rows[a], columns[b]))
        for a in range(kernel[0])
        for b in range(kernel[1])
    )
    return nd.array(matrix, dtype=K.dtype, ctx=K.context)


def _selections(
    outputs: int, inputs: int, taps: int, stride: int, pads: Tuple[int, int], dilation: int
) -> List[np.ndarray]:
    """For each tap, a boolean (outputs, inputs) matrix of the element that each output sees."""
    begins = stride * np.arange(outputs)[:, None] - pads[0]
    return [begins + a * dilation == np.arange(inputs) for a in range(taps)]

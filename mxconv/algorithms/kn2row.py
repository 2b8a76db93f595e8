"""kn2row: every tap of the kernel as an output channel of a 1x1 convolution.

The chapter's 1x1 convolution is a single matrix product and needs no im2col. A larger kernel is a
sum of k_h k_w such convolutions, each shifted by the position of its tap. So all taps become output
channels of one 1x1 convolution, c_o k_h k_w of them, and the channels that belong to one output are
shifted and added up. With few output channels that is several times faster than im2col, which would
spend more time on the columns than on their product.

References
----------
A. Vasudevan, A. Anderson, D. Gregg, "Parallel Multi Channel Convolution using General Matrix
Multiplication" (2017), arXiv:1704.04428.
"""

from dataclasses import replace
from math import prod
from typing import Any, Optional

from .._layouts import plain_weight
from ..geometry import ConvGeometry
from .native import native
from .ops import add_bias, one_hot_kernels
from .record import Algorithm, Shape

MAX_TAPS_PER_INPUT = 8  # of all outputs together; more cost more time and memory than they save


def unsupported(geometry: ConvGeometry) -> Optional[str]:
    """Return why the taps of a geometry can't become channels, in words, or None."""
    k_h, k_w = geometry.kernel_size
    if geometry.strides != (1, 1):
        return "strides other than 1"
    if any(p >= w for (p, _), w in zip(geometry.pads, geometry.dilated_kernel_size)):
        return f"padding as large as the dilated kernel, {geometry.dilated_kernel_size}"
    if k_h * k_w % 8 == 0:  # MXNet's backward of `Deconvolution` can fail on these
        return "kernels with a multiple of 8 taps"
    return None


def inner(geometry: ConvGeometry) -> ConvGeometry:
    """Return the geometry of the 1x1 convolution."""
    k_h, k_w = geometry.kernel_size
    channels = geometry.channels * k_h * k_w
    return replace(geometry, channels=channels, kernel_size=(1, 1), padding=(0, 0), dilation=(1, 1))


def kn2row(F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry) -> Any:
    """Convolve by a 1x1 convolution; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    # (c_o, c_i, k_h, k_w) -> (c_o k_h k_w, c_i, 1, 1)
    weight = plain_weight(weight, geometry)
    pointwise = weight.reshape((0, 0, -1)).transpose((0, 2, 1)).reshape((-3, 0, 1, 1))
    y = native(F, x, pointwise, None, inner(geometry))
    # The product of a pixel with tap (i, j) belongs to the output i rows above and j columns left.
    shifts = one_hot_kernels(F, weight, (1, *geometry.kernel_size)).flip(axis=0)
    y = F.Deconvolution(
        y.reshape((-1, prod(geometry.kernel_size), 0, 0)),  # each output's taps on their own
        shifts,
        kernel=geometry.kernel_size,
        dilate=geometry.dilation,
        pad=tuple(w - 1 - p for w, (p, _) in zip(geometry.dilated_kernel_size, geometry.pads)),
        num_filter=1,
        no_bias=True,
    )
    return add_bias(F, y.reshape((-1, geometry.channels, 0, 0)), bias)


def _worth_timing(geometry: ConvGeometry, input_shape: Shape, dtype: Any) -> bool:
    taps = inner(geometry).channels
    return not geometry.pointwise and taps <= MAX_TAPS_PER_INPUT * geometry.in_channels


ALGORITHM = Algorithm(
    run=kn2row,
    summary="each tap of the kernel as an output channel of a 1×1 convolution, then their sum",
    suits="heads: few output channels, many input channels",
    unsupported=unsupported,
    worth_timing=_worth_timing,
    inner=inner,
    saved=("inner_output",),
)

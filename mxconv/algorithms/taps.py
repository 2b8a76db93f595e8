"""Every tap of the kernel as an output channel of a 1x1 convolution: kn2row.

The chapter's 1x1 convolution is one matrix product and needs no im2col. A larger kernel is a sum of
k_h k_w of them, each moved by its tap's place: so let all taps be output channels, c_o k_h k_w of
them, and add up what belongs to one output. With few output channels, for which the columns of
im2col take longer than their product, that is several times faster.

Source: kn2row in A. Vasudevan, A. Anderson, D. Gregg, "Parallel Multi Channel Convolution using
General Matrix Multiplication" (2017).
"""

from dataclasses import replace

from .direct import direct
from .steps import dilate, one_hot


def unsupported(geometry):
    """Why the taps of a geometry can't be channels, as text, or None if they can."""
    k_h, k_w = geometry.kernel_size
    if geometry.strides != (1, 1):
        return "strides other than 1"
    if any(p >= w for p, w in zip(geometry.padding, geometry.window)):
        return f"padding of the window's size {geometry.window} and more"
    if k_h * k_w % 8 == 0:  # MXNet's `Deconvolution` of fewer than 8 groups fails in backward
        return "kernels with a multiple of 8 taps"
    return None


def inner(geometry):
    """The geometry of the 1x1 convolution."""
    k_h, k_w = geometry.kernel_size
    channels = geometry.channels * k_h * k_w
    return replace(geometry, channels=channels, kernel_size=1, padding=0, dilation=1)


def taps(F, x, weight, bias, geometry):
    """Convolve by a 1x1 convolution; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    # (c_o, c_i, k_h, k_w) -> (c_o k_h k_w, c_i, 1, 1)
    pointwise = weight.reshape((0, 0, -1)).transpose((0, 2, 1)).reshape((-3, 0, 1, 1))
    y = direct(F, x, pointwise, None, inner(geometry))
    # What tap (i, j) makes of a pixel belongs i rows above and j columns left of it.
    last_first = one_hot(F, weight, geometry.kernel_size).flip(axis=0)
    moves = F.tile(dilate(F, last_first, geometry.dilation), reps=(geometry.channels, 1, 1, 1))
    return F.Deconvolution(
        y,
        moves,
        bias,
        kernel=geometry.window,
        pad=tuple(w - 1 - p for w, p in zip(geometry.window, geometry.padding)),
        num_filter=geometry.channels,
        num_group=geometry.channels,
        no_bias=bias is None,
    )

"""A depthwise convolution in two: the channels up to a multiple of 8, and the few others.

oneDNN's depthwise kernels compute 8 or 16 channels at a time, and where the number of channels is
no multiple of 8, MXNet falls back to a kernel 10 to 50 times slower, for all of them. So it gets
only the channels that are left over.
"""

from dataclasses import replace

from .direct import direct
from .steps import join

LANES = 8


def unsupported(geometry):
    """Why a geometry can't be split, as text, or None if it can."""
    if not geometry.depthwise:
        return "groups, other than one for each channel"
    if geometry.channels < LANES:
        return f"fewer than {LANES} channels"
    return None if geometry.channels % LANES else f"channels that are a multiple of {LANES} anyway"


def split(F, x, weight, bias, geometry):
    """Convolve two parts of the channels; x (n, c, h, w) gives (n, c, o_h, o_w)."""
    c = geometry.channels
    most = c - c % LANES
    parts = [_part(F, x, weight, bias, geometry, *ends) for ends in ((0, most), (most, c))]
    return join(F, parts, axis=1)


def _part(F, x, weight, bias, geometry, begin, end):
    """The convolution of the channels from `begin` to `end`."""
    count = end - begin
    x = x.slice_axis(axis=1, begin=begin, end=end)
    weight = weight.slice_axis(axis=0, begin=begin, end=end)
    bias = None if bias is None else bias.slice_axis(axis=0, begin=begin, end=end)
    geometry = replace(geometry, channels=count, in_channels=count, groups=count)
    return direct(F, x, weight, bias, geometry, name="rest" if begin else "fwd")

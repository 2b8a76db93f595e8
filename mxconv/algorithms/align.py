"""More channels than asked for, so that their number suits the CPU.

oneDNN's kernels compute 8 or 16 output channels side by side, the float32 numbers of a register;
for most other numbers MXNet falls back to kernels several times slower. Filters of zeros bring the
number up, and their outputs are dropped.

The input channels are the output channels of the gradient to the input. Where they don't suit
either, channels of zeros are added to the input too. As each of them adds to all products, both
numbers then go up to a multiple of 8 only.
"""

from dataclasses import replace

from .direct import direct
from .steps import join

LANES, FEWEST_LANES = 16, 8


def unsupported(geometry):
    """Why a geometry can't be aligned, as text, or None if it can."""
    if geometry.groups != 1:
        return "groups"
    return None if geometry.channels % LANES else f"channels that are a multiple of {LANES} anyway"


def inner(geometry):
    """The geometry with numbers of channels that suit the CPU."""
    c_o, c_i = geometry.channels, geometry.in_channels
    lanes = FEWEST_LANES if c_i % FEWEST_LANES else LANES
    return replace(geometry, channels=c_o + -c_o % lanes, in_channels=c_i + -c_i % FEWEST_LANES)


def align(F, x, weight, bias, geometry):
    """Convolve among channels of zeros; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    c_o, aligned = geometry.channels, inner(geometry)
    outputs, inputs = aligned.channels - c_o, aligned.in_channels - geometry.in_channels
    x, weight = (_add_zeros(F, array, inputs, axis=1) for array in (x, weight))
    weight = _add_zeros(F, weight, outputs, axis=0)
    bias = None if bias is None else _add_zeros(F, bias, outputs, axis=0)
    return direct(F, x, weight, bias, aligned).slice_axis(axis=1, begin=0, end=c_o)


def _add_zeros(F, array, extra, axis):
    """An array with `extra` zeros at the end of an axis, much faster than by `F.pad`."""
    if not extra:
        return array
    zeros = F.zeros_like(array.slice_axis(axis=axis, begin=0, end=1))
    return join(F, (array, F.broadcast_axis(zeros, axis=axis, size=extra)), axis=axis)

"""More output channels than asked for, so that their number suits the CPU.

oneDNN's fastest kernels compute 16 output channels at a time, the float32 numbers of an AVX-512
register; for most other numbers MXNet falls back to kernels several times slower. Filters of zeros
bring the number up to a multiple of 16, and their outputs are dropped.
"""

from dataclasses import replace

from .direct import direct
from .steps import join

LANES = 16


def unsupported(geometry):
    """Why a geometry can't be aligned, as text, or None if it can."""
    if geometry.groups != 1:
        return "groups"
    return None if geometry.channels % LANES else f"channels that are a multiple of {LANES} anyway"


def inner(geometry):
    """The geometry with a multiple of 16 output channels."""
    return replace(geometry, channels=geometry.channels + -geometry.channels % LANES)


def align(F, x, weight, bias, geometry):
    """Convolve among channels of zeros; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    c_o, aligned = geometry.channels, inner(geometry)
    weight = _add_zeros(F, weight, aligned.channels - c_o)
    bias = None if bias is None else _add_zeros(F, bias, aligned.channels - c_o)
    return direct(F, x, weight, bias, aligned).slice_axis(axis=1, begin=0, end=c_o)


def _add_zeros(F, array, extra):
    """An array with `extra` zeros at the end of its first axis, much faster than by `F.pad`."""
    zeros = F.zeros_like(array.slice_axis(axis=0, begin=0, end=1))
    return join(F, (array, F.broadcast_axis(zeros, axis=0, size=extra)), axis=0)

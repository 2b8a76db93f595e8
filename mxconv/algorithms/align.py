"""More output channels than asked for, so that their number suits the CPU.

oneDNN's fastest kernels compute 16 output channels at a time, the float32 numbers of an AVX-512
register; for most other numbers MXNet falls back to kernels several times slower. Filters of zeros
bring the number up to a multiple of 16, and their outputs are dropped. In a depthwise convolution
the input gets channels of zeros too.
"""

from dataclasses import replace

from .direct import direct

LANES = 16


def unsupported(geometry):
    """Why a geometry can't be aligned, as text, or None if it can."""
    if geometry.groups != 1 and not geometry.depthwise:
        return "groups, other than one for each channel"
    return None if geometry.channels % LANES else f"channels that are a multiple of {LANES} anyway"


def inner(geometry):
    """The geometry with its output channels, or all channels if depthwise, a multiple of 16."""
    c_o = geometry.channels + -geometry.channels % LANES
    if geometry.depthwise:
        return replace(geometry, channels=c_o, in_channels=c_o, groups=c_o)
    return replace(geometry, channels=c_o)


def align(F, x, weight, bias, geometry):
    """Convolve among channels of zeros; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    c_o, aligned = geometry.channels, inner(geometry)
    extra = aligned.channels - c_o
    if geometry.depthwise:
        x = _add_zeros(F, x.expand_dims(1), extra).reshape((0, -3, 0, 0))
    weight = _add_zeros(F, weight.reshape((1, 1, c_o, -1, 1)), extra).reshape(aligned.weight_shape)
    if bias is not None:
        bias = _add_zeros(F, bias.reshape((1, 1, c_o, 1, 1)), extra).reshape((-1,))
    return direct(F, x, weight, bias, aligned).slice_axis(axis=1, begin=0, end=c_o)


def _add_zeros(F, array, extra):
    """An array of five axes, the third of which gets `extra` zeros at its end.

    `F.pad` can't reach the first two of four axes, and `F.concat` of channels can fail in oneDNN.
    """
    width = (0, 0, 0, 0, 0, extra, 0, 0, 0, 0)
    return F.pad(array, mode="constant", constant_value=0, pad_width=width)

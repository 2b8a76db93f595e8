"""Neighbouring outputs as extra output channels: the chapter's idea, used for speed.

With few output channels a fast kernel has little to compute side by side. So let S_h x S_w
neighbouring outputs be output channels of one larger window: each the same kernel at another place
in it, with zeros around. The window moves on by S_h rows and S_w columns of outputs at a time, and
its channels are taken apart into places again. Zeros are multiplied in vain, and it still pays.

The weight is expanded in the graph, so gradients reach the ordinary one. An element of the input
meets zeros of the kernel that it wouldn't meet otherwise: Inf and NaN spread, as NaN, to the
outputs of the tile around them.
"""

from dataclasses import replace

from .direct import direct
from .steps import add_bias, dilate, first_met


def unsupported(geometry):
    """Why a geometry can't be tiled, or None."""
    return None if geometry.groups == 1 else "groups"


def block(geometry):
    """(S_h, S_w): so many neighbouring outputs that with c_o they suit 16 lanes."""
    return {1: (4, 4), 2: (2, 4), 3: (4, 4)}.get(geometry.channels, (2, 2))


def inner(geometry):
    """The geometry of whole tiles, which begin above and left of the output by all but one."""
    (S_h, S_w), reach = block(geometry), _reach(geometry)
    return replace(
        geometry,
        channels=S_h * S_w * geometry.channels,
        kernel_size=tuple(w + r for w, r in zip(geometry.window, reach)),
        strides=tuple(S * s for S, s in zip((S_h, S_w), geometry.strides)),
        padding=tuple(p + r for p, r in zip(geometry.padding, reach)),
        dilation=1,
    )


def tile(F, x, weight, bias, geometry):
    """Convolve by tiles of neighbouring outputs; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    c_o, (S_h, S_w) = geometry.channels, block(geometry)
    kernel = dilate(F, weight, geometry.dilation)
    rows, cols = (_places(r, s) for r, s in zip(_reach(geometry), geometry.strides))
    kernels = [
        F.pad(kernel, mode="constant", constant_value=0, pad_width=(0, 0, 0, 0, *row, *col))
        for row in rows
        for col in cols
    ]
    y = direct(F, x, F.concat(*kernels, dim=0), None, inner(geometry))
    # (n, S_h S_w c_o, t_h, t_w) -> (n, c_o, t_h S_h, t_w S_w)
    y = y.reshape((0, -4, S_h, -1, 0, 0)).reshape((0, 0, -4, S_w, c_o, 0, 0))
    y = y.transpose((0, 3, 4, 1, 5, 2)).reshape((0, 0, -3, -3))
    y = y.slice_axis(axis=2, begin=S_h - 1, end=None).slice_axis(axis=3, begin=S_w - 1, end=None)
    return add_bias(F, F.slice_like(y, first_met(F, x, geometry), axes=(2, 3)), bias)


def _reach(geometry):
    """Rows and columns of the input from the first window of a tile to its last."""
    return tuple(s * (S - 1) for S, s in zip(block(geometry), geometry.strides))


def _places(reach, stride):
    """The zeros before and after a kernel at each of its places in the window of a tile."""
    return [(before, reach - before) for before in range(0, reach + 1, stride)]

"""Neighbouring outputs as extra output channels: the chapter's idea, used for speed.

With few output channels a fast kernel has little to compute side by side. So let S_h x S_w
neighbouring outputs be output channels of one larger window: each the same kernel at another place
in it, with zeros around. The window moves on by S_h rows and S_w columns of outputs at a time, and
its channels are taken apart into places again. Zeros are multiplied in vain, and it still pays.

A single input channel is as little to compute with. There, neighbours of the input become input
channels too: blocks as large as the window's step, of the input and of the kernels alike, and the
window then moves from block to block.

The weight is expanded in the graph, so gradients reach the ordinary one. An element of the input
meets zeros of the kernel that it wouldn't meet otherwise: Inf and NaN spread, as NaN, to the
outputs of the tiles around them.
"""

from dataclasses import replace

from .direct import direct
from .steps import add_bias, dilate, every, first_met, one_hot, pad


def unsupported(geometry):
    """Why a geometry can't be tiled, or None."""
    return None if geometry.groups == 1 else "groups"


def block(geometry):
    """(S_h, S_w): so many neighbouring outputs that with c_o they suit 16 lanes."""
    if _folds(geometry):
        return (4, 4)  # as many input channels as lanes
    return {1: (4, 4), 2: (2, 4), 3: (4, 4)}.get(geometry.channels, (2, 2))


def inner(geometry):
    """The geometry of whole tiles.

    They begin above and left of the output by all but one, so that even padding covers the last. In
    blocks the input is padded before.
    """
    (S_h, S_w), (f_h, f_w) = block(geometry), _fold(geometry)
    padding = tuple(p + extra for p, extra in zip(geometry.padding, _spare(geometry)))
    return replace(
        geometry,
        channels=geometry.channels * S_h * S_w,
        in_channels=geometry.in_channels * f_h * f_w,
        kernel_size=tuple(r // f for r, f in zip(_reach(geometry), (f_h, f_w))),
        strides=tuple(s // f for s, f in zip(_step(geometry), (f_h, f_w))),
        padding=0 if _folds(geometry) else padding,
        dilation=1,
    )


def inner_size(geometry, size):
    """Height and width of the input, or of the padded input in blocks."""
    lengths = padded_size(geometry, size)
    return tuple(length // f for length, f in zip(lengths, _fold(geometry)))


def padded_size(geometry, size):
    """Height and width of the input with `margins`."""
    return tuple(length + sum(margin) for length, margin in zip(size, margins(geometry)))


def margins(geometry):
    """The padding ((top, bottom), (left, right)) of blocks with which the last tile is whole."""
    if not _folds(geometry):
        return ((0, 0), (0, 0))
    return tuple((p, p + extra) for p, extra in zip(geometry.padding, _spare(geometry)))


def tile(F, x, weight, bias, geometry):
    """Convolve by tiles of neighbouring outputs; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    planes, kernels = pad(F, x, margins(geometry)), _kernels(F, weight, geometry)
    if _folds(geometry):
        take = one_hot(F, weight, _fold(geometry))
        planes, kernels = (_blocks(F, a, take, _fold(geometry)) for a in (planes, kernels))
    y = _places(direct(F, planes, kernels, None, inner(geometry)), geometry)
    if not _folds(geometry):
        y = every(F, y, (1, 1), begin=[S - 1 for S in block(geometry)])
    return add_bias(F, F.slice_like(y, first_met(F, x, geometry), axes=(2, 3)), bias)


def _step(geometry):
    """Rows and columns of the input from one tile's window to the next."""
    return tuple(S * s for S, s in zip(block(geometry), geometry.strides))


def _folds(geometry):
    """Whether blocks of the input become channels."""
    return geometry.in_channels == 1


def _fold(geometry):
    """(f_h, f_w): the block of the input that becomes channels."""
    return _step(geometry) if _folds(geometry) else (1, 1)


def _reach(geometry):
    """Height and width of a tile's window, in whole blocks."""
    sizes = zip(geometry.window, _step(geometry), geometry.strides, _fold(geometry))
    return tuple(-(-(w + step - s) // f) * f for w, step, s, f in sizes)


def _spare(geometry):
    """Rows and columns of a tile's window beside the kernel's."""
    return tuple(r - w for r, w in zip(_reach(geometry), geometry.window))


def _kernels(F, weight, geometry):
    """The kernel at each of its places in a tile's window: (c_o S_h S_w, c_i, r_h, r_w)."""
    rows, cols = (
        [(s * i, extra - s * i) for i in range(S)]
        for S, s, extra in zip(block(geometry), geometry.strides, _spare(geometry))
    )
    kernels = dilate(F, weight, geometry.dilation)
    kernels = F.concat(*(pad(F, kernels, ((0, 0), col)) for col in cols), dim=1)
    kernels = F.concat(*(pad(F, kernels, (row, (0, 0))) for row in rows), dim=1)
    return kernels.reshape((-1, geometry.in_channels, 0, 0))


def _blocks(F, x, take, size):
    """x (n, 1, h, w), its whole blocks as channels: (n, f_h f_w, h // f_h, w // f_w)."""
    f_h, f_w = size
    return F.Convolution(x, take, kernel=size, stride=size, num_filter=f_h * f_w, no_bias=True)


def _places(y, geometry):
    """y (n, c_o S_h S_w, t_h, t_w), its channels as blocks: (n, c_o, t_h S_h, t_w S_w).

    Two transpositions, of columns and then of rows, are several times faster than one of both.
    """
    c_o, (S_h, S_w) = geometry.channels, block(geometry)
    y = y.reshape((-3, 0, 0)).reshape((-4, -1, S_w, 0, 0)).transpose((0, 2, 3, 1))
    y = y.reshape((0, 0, -3)).reshape((-4, -1, S_h, 0, 0)).transpose((0, 2, 1, 3))
    return y.reshape((0, -3, 0)).reshape((-4, -1, c_o, 0, 0))

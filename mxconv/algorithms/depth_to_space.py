"""Neighboring outputs as extra output channels: the chapter's idea, used for speed.

**Tiles of outputs become output channels.** With few output channels a fast kernel has little to
compute side by side. So S_h x S_w neighboring outputs, a tile, become S_h S_w output channels of a
larger convolution. The part of the input that a tile depends on is its window. Each channel's
kernel is the given kernel at one place in the window, with zeros around it, and the window moves by
a whole tile. For a 3x3 kernel with stride 1 and 2x2 tiles, the window is 4x4 and the four kernels
are (# a tap, . a zero)::

    ###.   .###   ....   ....
    ###.   .###   ###.   .###
    ###.   .###   ###.   .###
    ....   ....   ###.   .###

Afterward the channels are rearranged into rows and columns: depth to space. Many products are with
zeros, here 28 of 64, and it is faster all the same.

**Blocks of the input become input channels.** A single input channel leaves a fast kernel just as
little to do, and without AVX-512 so do two or three. So blocks of them, as large as the window's
step, become input channels: space to depth. The kernels are folded in the same way, and the window
then moves by one block at a time.

The stored weight is unchanged; it is expanded inside the graph, so gradients reach it. Elements of
the input also meet the zeros of the kernels. So Inf and NaN spread, as NaN, to the outputs of the
tiles around them.

Comments give rearrangements in the notation of einops, with b for the batch, c for c_o, sh, sw for
the size of a tile and fh, fw for that of a block.

References
----------
W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
Convolutional Neural Network" (2016), arXiv:1609.05158: depth to space after a convolution.
"""

from dataclasses import replace
from math import prod
from typing import Any, Optional, Tuple

from .. import _cpuinfo
from .._layouts import plain_weight
from ..geometry import ConvGeometry
from .native import native
from .ops import dilate, one_hot_kernels, output_like, pad, strided_slice
from .record import Algorithm, Shape, Size

MAX_CHANNELS = 8  # output channels; with more, tiles have nothing to gain
MAX_FOLDED_CHANNELS = 3  # input channels; beyond that, folding often loses

Pair = Tuple[int, int]  # (height, width)


def unsupported(geometry: ConvGeometry) -> Optional[str]:
    """Return why the outputs of a geometry can't be tiled, in words, or None."""
    return None if geometry.groups == 1 else "groups"


def depth_to_space(F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry) -> Any:
    """Convolve by tiles of neighboring outputs; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    S_h, S_w = tile_size(geometry)
    kernels = _kernels(F, plain_weight(weight, geometry), geometry)
    planes, folds = x, _folds_input(geometry)
    if folds:
        blocks = one_hot_kernels(F, weight, (geometry.in_channels, *_block_size(geometry)))
        planes = _space_to_depth(F, pad(F, x, _block_pads(geometry)), blocks, geometry)
        kernels = _space_to_depth(F, kernels, blocks, geometry)
    # The operator sums the bias's gradient several times as fast as `add_bias` would afterward.
    bias = None if bias is None else F.repeat(bias, repeats=S_h * S_w)
    y = _depth_to_space(native(F, planes, kernels, bias, inner(geometry)), geometry)
    if not folds:  # drop the unwanted outputs above and to the left, see `inner`
        y = strided_slice(F, y, (1, 1), begin=(S_h - 1, S_w - 1))
    # The last tile may reach beyond the output.
    return F.slice_like(y, output_like(F, x, geometry), axes=(2, 3))


def inner(geometry: ConvGeometry) -> ConvGeometry:
    """Return the geometry of the convolution that computes whole tiles.

    MXNet's operator pads both sides alike. Enough padding for the last tile at the bottom puts
    S_h - 1 unwanted rows of outputs above the first one; columns likewise. A folded input is padded
    beforehand, and only where it needs to be.
    """
    (S_h, S_w), (slack_h, slack_w) = tile_size(geometry), _window_slack(geometry)
    (p_h, _), (p_w, _) = geometry.pads
    tiled = replace(
        geometry,
        channels=geometry.channels * S_h * S_w,
        kernel_size=_window_size(geometry),
        strides=_tile_stride(geometry),
        padding=(p_h + slack_h, p_w + slack_w),
        dilation=(1, 1),
    )
    return _folded(tiled) if _folds_input(geometry) else tiled


# Tiles of outputs


def tile_size(geometry: ConvGeometry) -> Pair:
    """Return (S_h, S_w), the outputs in a tile, so that c_o S_h S_w suits 8 or 16 lanes."""
    if _folds_input(geometry):  # with stride 1, a block of the input is as large as a tile
        return (4, 4) if geometry.in_channels == 1 else (4, 2)
    return {1: (4, 4), 2: (2, 4), 3: (4, 4)}.get(geometry.channels, (2, 2))


def _tile_stride(geometry: ConvGeometry) -> Pair:
    """Return the rows and columns of the input from one tile's window to the next."""
    (S_h, S_w), (s_h, s_w) = tile_size(geometry), geometry.strides
    return S_h * s_h, S_w * s_w


def _window_size(geometry: ConvGeometry) -> Pair:
    """Return the height and width of a tile's window, in whole blocks if it is folded."""
    f_h, f_w = _block_size(geometry)
    r_h, r_w = (
        w + (S - 1) * s
        for w, S, s in zip(geometry.dilated_kernel_size, tile_size(geometry), geometry.strides)
    )
    return r_h + -r_h % f_h, r_w + -r_w % f_w


def _window_slack(geometry: ConvGeometry) -> Pair:
    """Return the rows and columns by which a tile's window exceeds the dilated kernel."""
    (r_h, r_w), (w_h, w_w) = _window_size(geometry), geometry.dilated_kernel_size
    return r_h - w_h, r_w - w_w


def _kernels(F: Any, weight: Any, geometry: ConvGeometry) -> Any:
    """Return the kernel at each of its places in a tile's window: (c_o S_h S_w, c_i, r_h, r_w).

    With enough zeros around the kernel, the window at each place is a slice.
    """
    tile, window, slack = tile_size(geometry), _window_size(geometry), _window_slack(geometry)
    kernels = pad(F, dilate(F, weight, geometry.dilation), [(zeros, zeros) for zeros in slack])
    for axis in (-1, -2):  # c ci ... -> c sw ci ... -> c sh sw ci ...
        zeros, S, s, r = (pair[axis] for pair in (slack, tile, geometry.strides, window))
        begins = range(zeros, zeros - S * s, -s)
        places = [kernels.slice_axis(axis=axis, begin=b, end=b + r) for b in begins]
        kernels = F.stack(*places, axis=1)
    return kernels.reshape((-1, geometry.in_channels, *window))  # (c sh sw) ci ...


def _depth_to_space(y: Any, geometry: ConvGeometry) -> Any:
    """Rearrange channels into tiles, 'b (c sh sw) h w -> b c (h sh) (w sw)'.

    Two transpositions, for columns and then for rows, are several times faster than one for both.
    In the reshape codes 0 keeps an axis, -1 infers it, -3 merges two, and -4 splits one in two.
    """
    c_o, (S_h, S_w) = geometry.channels, tile_size(geometry)
    y = y.reshape((-3, 0, 0))  # b (c sh sw) h w -> (b c sh sw) h w
    y = y.reshape((-4, -1, S_w, 0, 0)).transpose((0, 2, 3, 1))  # -> (b c sh) h w sw
    y = y.reshape((0, 0, -3))  # -> (b c sh) h (w sw)
    y = y.reshape((-4, -1, S_h, 0, 0)).transpose((0, 2, 1, 3))  # -> (b c) h sh (w sw)
    y = y.reshape((0, -3, 0))  # -> (b c) (h sh) (w sw)
    return y.reshape((-4, -1, c_o, 0, 0))  # -> b c (h sh) (w sw)


# Blocks of the input


def _folds_input(geometry: ConvGeometry) -> bool:
    """Return whether blocks of the input become channels.

    With two or three input channels, blocks gain on CPUs without AVX-512 only.
    """
    if geometry.in_channels == 1:
        return True
    if geometry.strides != (1, 1) or _cpuinfo.has_avx512():
        return False
    return geometry.channels > 1 and geometry.in_channels <= MAX_FOLDED_CHANNELS


def _block_size(geometry: ConvGeometry) -> Pair:
    """Return (f_h, f_w), the block of the input that becomes channels; (1, 1) without folding."""
    return _tile_stride(geometry) if _folds_input(geometry) else (1, 1)


def _block_pads(geometry: ConvGeometry) -> Tuple[Pair, Pair]:
    """Return the padding ((top, bottom), (left, right)) that a folded input gets beforehand."""
    if not _folds_input(geometry):
        return (0, 0), (0, 0)
    (slack_h, slack_w), ((p_h, _), (p_w, _)) = _window_slack(geometry), geometry.pads
    return (p_h, p_h + slack_h), (p_w, p_w + slack_w)


def _folded(tiled: ConvGeometry) -> ConvGeometry:
    """Return the geometry of a tiled convolution after its input is padded and folded."""
    (f_h, f_w), (r_h, r_w) = tiled.strides, tiled.kernel_size
    return replace(
        tiled,
        in_channels=tiled.in_channels * f_h * f_w,
        kernel_size=(r_h // f_h, r_w // f_w),
        strides=(1, 1),
        padding=(0, 0),
    )


def _space_to_depth(F: Any, x: Any, blocks: Any, geometry: ConvGeometry) -> Any:
    """Rearrange whole blocks into channels, 'b ci (h fh) (w fw) -> b (ci fh fw) h w'.

    A convolution with one-hot kernels does it. Unlike `F.space_to_depth`, it takes blocks that
    aren't square, and drops incomplete ones at the end.
    """
    size = _block_size(geometry)
    channels = geometry.in_channels * prod(size)
    return F.Convolution(x, blocks, kernel=size, stride=size, num_filter=channels, no_bias=True)


# Sizes, for counting memory


def _padded_size(geometry: ConvGeometry, size: Size) -> Size:
    """Return the height and width of the input after the padding of `_block_pads`."""
    return tuple(length + sum(pads) for length, pads in zip(size, _block_pads(geometry)))


def _inner_size(geometry: ConvGeometry, size: Size) -> Size:
    """Return the height and width of the input, padded and folded where it is."""
    lengths = zip(_padded_size(geometry, size), _block_size(geometry))
    return tuple(length // f for length, f in lengths)


def _worth_timing(geometry: ConvGeometry, input_shape: Shape, dtype: Any) -> bool:
    return geometry.channels <= MAX_CHANNELS


ALGORITHM = Algorithm(
    run=depth_to_space,
    summary="neighboring outputs as extra output channels, then `'native'`",
    suits="filters: few channels, large kernels",
    unsupported=unsupported,
    worth_timing=_worth_timing,
    inner=inner,
    inner_size=_inner_size,
    padded_size=_padded_size,
    saved=("padded",),
)

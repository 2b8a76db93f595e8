"""What 'auto' chooses: 'direct', unless another algorithm was clearly faster wherever measured.

The rule is for float32 on a CPU with AVX-512, where oneDNN computes 16 output channels side by side
and MXNet falls back to slower kernels for other numbers. What is behind it stands in
benchmarks/rule.md, which `make rule` writes: convolutions on both sides of each of its lines.

Small convolutions stay with 'direct', whose single operator costs least to call.
"""

import numpy as np

from . import align, split, taps
from .align import FEWEST_LANES, LANES

LARGE = 1024  # places of an output, 32 x 32: with fewer of them tiles have nothing to gain
LEAST = 2e6  # products of a convolution: with fewer of them channels of zeros have nothing to gain


def choose(geometry, input_shape, dtype, avx512):
    """The name of the algorithm for a geometry (NCHW) and an input (n, c_i, h, w).

    Parameters
    ----------
    geometry : ConvGeometry
        With its input channels known.
    input_shape : tuple of int
    dtype : dtype
    avx512 : bool
        Whether the input is on a CPU with AVX-512; everywhere else the choice is 'direct'.
    """
    if not avx512 or dtype != np.float32:
        return "direct"
    n, _, o_h, o_w = geometry.output_shape(input_shape)
    c_o, c_i, k_h, k_w = geometry.weight_shape
    places, products, k = n * o_h * o_w, c_i * k_h * k_w, min(k_h, k_w)
    work = places * products * c_o
    # The kernel is laid out anew at each call, so it has to be small beside the output.
    least = 3136 if geometry.pointwise and c_o > 4 * c_i else 784
    if _cheap(geometry) and places >= max(least, 8 * products):
        return "blocked"
    if k < 3:
        return "direct"
    if geometry.depthwise:
        if geometry.dilated or split.unsupported(geometry):
            return "direct"
        return "split" if c_o >= 4 * (c_o % split.LANES) and places * c_o >= 2**14 else "direct"
    if geometry.groups > 1 or geometry.strides != (1, 1):
        return "direct"
    if c_i == 1:
        return "tile" if c_o <= min(k - 5, 6) and o_h * o_w >= LARGE else "direct"
    # On small maps a copy of the weight takes longer than the sums; that is what c_o limits below.
    if _few_taps(geometry) and places * c_i >= max(2**14, 2**11 * c_o):
        return "taps"
    if c_o <= 4 and not geometry.dilated:
        least = 3e5 if c_o == 1 else 1.7e6
        return "tile" if k >= 5 and o_h * o_w >= LARGE and work >= least else "direct"
    return "align" if _few_zeros(geometry, places) and work >= LEAST else "direct"


def _cheap(geometry):
    """Whether outputs are so cheap that their layout matters: 1x1, depthwise, or of an image."""
    _, c_i, k_h, k_w = geometry.weight_shape
    if geometry.channels % LANES or c_i * k_h * k_w > 256 or geometry.dilated:
        return False
    return geometry.depthwise or (geometry.groups == 1 and (geometry.pointwise or c_i <= 4))


def _few_taps(geometry):
    """Whether the taps of all outputs are few beside the input's channels: they are moved singly.

    Zeros between them are moved too. Where 'align' could have them, they have to be fewer.
    """
    c_o, c_i, (k_h, k_w) = geometry.channels, geometry.in_channels, geometry.window
    if c_o % FEWEST_LANES == 0 or taps.unsupported(geometry):
        return False
    return c_o * k_h * k_w <= (3 * c_i if c_o < FEWEST_LANES else 4 * c_i / 3)


def _few_zeros(geometry, places):
    """Whether zeros among the channels are worth it, and so is a new copy of the weight."""
    c_o, c_i, filled = geometry.channels, geometry.in_channels, align.inner(geometry)
    if align.unsupported(geometry) or (c_o % FEWEST_LANES == 0 and c_i % FEWEST_LANES == 0):
        return False
    if geometry.dilated and (c_i % LANES or c_o > c_i):
        return False  # the kernels for 8 lanes are slow there
    # With more outputs the slower kernel has more to multiply for each copy of a window.
    if c_o > 1.5 * c_i or filled.in_channels > 1.25 * c_i:
        return False
    return places >= max(6 * c_o, 1024 * filled.channels * filled.in_channels / c_i**2)

"""What 'auto' chooses: 'direct', unless another algorithm was clearly faster wherever measured.

The rule is for float32 on a CPU with AVX-512, where oneDNN computes 16 output channels side by side
and MXNet falls back to slower kernels for other numbers. benchmarks/convolutions.py prints what is
behind it. Small convolutions stay with 'direct', whose single operator costs least to call.
"""

import numpy as np

from .align import LANES

LARGE = 1024  # output places, 32 x 32: with fewer of them 'tile' and 'align' have nothing to gain


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
    if not avx512 or dtype != np.float32 or geometry.dilation != (1, 1):
        return "direct"
    n, _, o_h, o_w = geometry.output_shape(input_shape)
    c_o, c_i, k_h, k_w = geometry.weight_shape
    places, products = o_h * o_w, c_i * k_h * k_w  # of outputs; in each of them
    # The kernel is laid out anew at each call, so it has to be small beside the output.
    if _cheap(geometry) and n * places >= max(784, 8 * products):
        return "blocked"
    if geometry.groups > 1 or geometry.strides != (1, 1) or min(k_h, k_w) < 3:
        return "direct"
    work = n * places * products * c_o
    if c_o % 8 and 20 * (-c_o % LANES) <= 3 * c_o and n * places >= 4096 and products >= 400:
        return "align"  # by few channels in proportion
    if places < LARGE:
        return "direct"
    if c_i == 1 and c_o <= 2 and min(k_h, k_w) >= 7:
        return "tile"
    if c_o == 1 and products >= 72 and work >= 1e6:
        return "tile"
    if c_o <= 4 and products >= 256 and work >= 2e6:
        return "tile"
    if 9 <= c_o <= 15 and products >= 400:
        return "align"
    return "direct"


def _cheap(geometry):
    """Whether outputs are so cheap that their layout matters: 1x1, depthwise, or of an image."""
    _, c_i, k_h, k_w = geometry.weight_shape
    if geometry.channels % LANES or c_i * k_h * k_w > 256:
        return False
    return geometry.depthwise or (geometry.groups == 1 and (geometry.pointwise or c_i <= 4))

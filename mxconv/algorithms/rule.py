"""What 'auto' chooses: 'direct', unless another algorithm was clearly faster wherever measured.

The rule is for float32 on a CPU with AVX-512, where oneDNN computes 16 output channels side by side
and MXNet falls back to slower kernels for other numbers. benchmarks/convolutions.py prints what is
behind it. Small convolutions stay with 'direct', whose single operator costs least to call.
"""

import numpy as np

LARGE = 1024  # output places, 32 x 32: with fewer of them there is nothing to gain


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
    if geometry.groups > 1 or geometry.strides != (1, 1) or geometry.dilation != (1, 1):
        return "direct"
    n, _, o_h, o_w = geometry.output_shape(input_shape)
    c_o, c_i, k_h, k_w = geometry.weight_shape
    places, products = n * o_h * o_w, c_i * k_h * k_w  # of outputs; in each of them
    work = places * products * c_o
    if o_h * o_w < LARGE or min(k_h, k_w) < 3:
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

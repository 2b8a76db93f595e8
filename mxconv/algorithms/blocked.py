"""MXNet's operator in the layout of training, for large maps of which each output is cheap.

In inference oneDNN's fastest kernels leave their output in a layout of their own choice, and its
conversion for whatever reads it can take longer than the convolution. In training mode MXNet has
the layout decided otherwise, and the conversion costs little; the numbers are the same up to
rounding. So a call outside `autograd.record()` runs the operator in training mode: that is the
layer's part, which knows when it is called. In a graph that a parent block has traced there is no
mode per operator, and it is 'direct'.
"""

from .direct import direct


def blocked(F, x, weight, bias, geometry):
    """Convolve in the mode of the call; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    return direct(F, x, weight, bias, geometry)

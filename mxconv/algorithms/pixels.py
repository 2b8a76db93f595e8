"""A 1x1 kernel with a stride: take the pixels it meets, then convolve those without a stride."""

from dataclasses import replace

from .direct import direct
from .steps import every, pad


def unsupported(geometry):
    """Why a geometry isn't a matter of picking pixels, as text, or None if it is."""
    strided = geometry.pointwise and geometry.strides != (1, 1)
    return None if strided else "kernels other than 1x1, or a stride of 1"


def inner(geometry):
    """The geometry without stride and padding."""
    return replace(geometry, strides=1, padding=0)


def inner_size(geometry, size):
    """Height and width of the pixels that are met."""
    return geometry.output_size(size, f"received an input of size {size}")


def pixels(F, x, weight, bias, geometry):
    """Convolve only the pixels that are met; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    met = every(F, pad(F, x, geometry.margins), geometry.strides)
    return direct(F, met, weight, bias, inner(geometry))

"""A 1x1 kernel with a stride: take the pixels that it reads, then convolve without a stride."""

from dataclasses import replace
from typing import Any, Optional

from ..geometry import ConvGeometry
from .native import native
from .ops import pad, strided_slice
from .record import Algorithm, Size, always


def unsupported(geometry: ConvGeometry) -> Optional[str]:
    """Return why there is nothing to subsample, in words, or None."""
    strided = geometry.pointwise and geometry.strides != (1, 1)
    return None if strided else "kernels other than 1x1, or a stride of 1"


def _inner(geometry: ConvGeometry) -> ConvGeometry:
    """Return the geometry without stride and padding."""
    return replace(geometry, strides=(1, 1), padding=(0, 0))


def _inner_size(geometry: ConvGeometry, size: Size) -> Size:
    """Return the height and width of the pixels that are read."""
    received = f"received an input of size {size}"
    inner_size: Size = geometry.output_size(size, received)
    return inner_size


def subsample(F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry) -> Any:
    """Convolve only the pixels that are read; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    read = strided_slice(F, pad(F, x, geometry.pads), geometry.strides)
    return native(F, read, weight, bias, _inner(geometry))


ALGORITHM = Algorithm(
    run=subsample,
    summary="the pixels that a strided 1×1 kernel reads, then `'native'` without a stride",
    suits="1×1 with a stride",
    unsupported=unsupported,
    worth_timing=always,
    inner=_inner,
    inner_size=_inner_size,
    padded_size=lambda geometry, size: geometry.padded_size(size),
    plain_gradient=True,
)

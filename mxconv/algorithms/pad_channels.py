"""Zero channels, so that the number of channels suits the CPU.

oneDNN's kernels compute 8 or 16 output channels side by side: as many float32 numbers as a register
holds. For most other numbers of channels MXNet falls back to kernels that are several times slower.
Filters of zeros round the number of output channels up, and their outputs are dropped.

In the gradient with respect to the input, the input channels take the place of the output channels.
If their number doesn't suit the CPU either, zero channels are added to the input too. Each of those
costs products with every filter, so both numbers are then rounded up to a multiple of 8 only.

References
----------
E. Georganas et al., "Anatomy of High-Performance Deep Learning Convolutions on SIMD Architectures",
SC18 (2018), arXiv:1808.05567, on blocks of channels as wide as a register.
"""

from dataclasses import replace
from typing import Any, Optional

from .. import _cpuinfo
from ..geometry import ConvGeometry
from .native import native
from .ops import concat
from .record import Algorithm, always

LANES, HALF_LANES = 16, 8  # float32 numbers in a register of AVX-512, and in half of one


def unsupported(geometry: ConvGeometry) -> Optional[str]:
    """Return why the channels of a geometry can't or needn't be padded, in words, or None."""
    if geometry.groups != 1:
        return "groups"
    lanes = _lanes()
    return None if geometry.channels % lanes else f"channels that are a multiple of {lanes} already"


def _lanes() -> int:
    """Return the number that oneDNN's fastest kernels here want the output channels to divide by.

    Without AVX-512 these compute 8 channels side by side, and more zero channels only cost time.
    """
    return LANES if _cpuinfo.has_avx512() else HALF_LANES


def inner(geometry: ConvGeometry) -> ConvGeometry:
    """Return the geometry with the numbers of channels rounded up."""
    c_o, c_i = geometry.channels, geometry.in_channels
    lanes = HALF_LANES if c_i % HALF_LANES else _lanes()
    return replace(geometry, channels=c_o + -c_o % lanes, in_channels=c_i + -c_i % HALF_LANES)


def pad_channels(F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry) -> Any:
    """Convolve with zero channels added; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    c_o, padded = geometry.channels, inner(geometry)
    outputs, inputs = padded.channels - c_o, padded.in_channels - geometry.in_channels
    x, weight = (_add_zeros(F, array, inputs, axis=1) for array in (x, weight))
    weight = _add_zeros(F, weight, outputs, axis=0)
    bias = None if bias is None else _add_zeros(F, bias, outputs, axis=0)
    return native(F, x, weight, bias, padded).slice_axis(axis=1, begin=0, end=c_o)


def _add_zeros(F: Any, array: Any, extra: int, axis: int) -> Any:
    """Append `extra` zeros to an array along an axis, much faster than `F.pad` would."""
    if not extra:
        return array
    zeros = F.zeros_like(array.slice_axis(axis=axis, begin=0, end=1))
    return concat(F, (array, F.broadcast_axis(zeros, axis=axis, size=extra)), axis=axis)


ALGORITHM = Algorithm(
    run=pad_channels,
    summary="zero channels up to a multiple of 8 or 16, then `'native'`",
    suits="channels that are not a multiple of 8, output channels above all",
    unsupported=unsupported,
    worth_timing=always,
    inner=inner,
)

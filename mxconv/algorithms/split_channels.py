"""A depthwise convolution in two: a multiple of 8 channels, and the few that are left over.

oneDNN's depthwise kernels compute 8 or 16 channels at a time. If the number of channels isn't a
multiple of 8, MXNet falls back to a kernel that is 10 to 50 times slower, for all channels. Here
that kernel gets only the channels that are left over.
"""

from dataclasses import replace
from math import prod
from typing import Any, Dict, Optional

from ..geometry import ConvGeometry
from .native import native
from .ops import concat
from .record import Algorithm, Shape, always

LANES = 8  # channels that oneDNN's depthwise kernels need a multiple of


def unsupported(geometry: ConvGeometry) -> Optional[str]:
    """Return why the channels of a geometry can't or needn't be split, in words, or None."""
    if not geometry.depthwise:
        return "groups other than one per channel"
    if geometry.channels < LANES:
        return f"fewer than {LANES} channels"
    return None if geometry.channels % LANES else f"channels that are a multiple of {LANES} already"


def split_channels(F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry) -> Any:
    """Convolve two parts of the channels; x (n, c, h, w) gives (n, c, o_h, o_w)."""
    c = geometry.channels
    whole = c - c % LANES
    parts = [_part(F, x, weight, bias, geometry, *ends) for ends in ((0, whole), (whole, c))]
    return concat(F, parts, axis=1)


def _part(
    F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry, begin: int, end: int
) -> Any:
    """Convolve the channels from `begin` to `end`."""
    count = end - begin
    x = x.slice_axis(axis=1, begin=begin, end=end)
    weight = weight.slice_axis(axis=0, begin=begin, end=end)
    bias = None if bias is None else bias.slice_axis(axis=0, begin=begin, end=end)
    geometry = replace(geometry, channels=count, in_channels=count, groups=count)
    return native(F, x, weight, bias, geometry, name="rest" if begin else "fwd")


def copies(geometry: ConvGeometry, input_shape: Shape) -> Dict[str, int]:
    """Count copies of the input, the weight and the output: here, their parts."""
    return {
        "inner_input": prod(input_shape),
        "inner_weight": prod(geometry.weight_shape),
        "inner_output": prod(geometry.output_shape(input_shape)),
    }


ALGORITHM = Algorithm(
    run=split_channels,
    summary="a multiple of 8 channels, and the rest separately",
    suits="depthwise convolutions whose channels are not a multiple of 8",
    unsupported=unsupported,
    worth_timing=always,
    arrays=copies,
    plain_gradient=True,
)

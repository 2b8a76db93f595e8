"""MXNet's operator in the memory layout of training, for large outputs that are cheap to compute.

In inference, oneDNN's fastest kernels leave their output in a layout of their own choice.
Converting it for the next reader can take longer than the convolution. In training mode MXNet
decides the layout differently, and the conversion costs little; results agree up to rounding. So a
call outside `autograd.record()` runs the operator in training mode. The layer does this
(`MultiChannelConv2D.forward`), because only the layer knows the mode of the call. A graph that was
traced for a parent block has no mode per operator; there, this algorithm is 'native'.
"""

from typing import Any

from ..geometry import ConvGeometry
from .native import native
from .record import Algorithm, Shape

MIN_PIXELS = 784  # pixels of an output, 28 x 28; below that its layout makes no difference


def _worth_timing(geometry: ConvGeometry, input_shape: Shape, dtype: Any) -> bool:
    o_h, o_w = geometry.output_shape(input_shape)[2:]
    large: bool = o_h * o_w >= MIN_PIXELS
    return large


ALGORITHM = Algorithm(
    run=native,
    summary="`'native'` in the memory layout of training, for direct calls outside `record()`",
    suits="large outputs that are cheap to compute: first layers, 1×1, depthwise",
    worth_timing=_worth_timing,
    eager_inference_only=True,
)

"""MXNet's own operator, the one that `gluon.nn.Conv2D` calls.

Everything in MXNet that looks for that operator keeps working: ONNX export, INT8 quantization and
operator fusion.
"""

from typing import Any

from mxnet import sym

from ..geometry import ConvGeometry
from .record import Algorithm


def native(
    F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry, name: str = "fwd"
) -> Any:
    """Convolve by the operator `Convolution`; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    attributes = geometry.op_attrs if F is sym else geometry.non_default_op_attrs
    return F.Convolution(x, weight, bias, name=name, no_bias=bias is None, **attributes)


ALGORITHM = Algorithm(
    run=native,
    summary="MXNet's operator `Convolution`, the one that `nn.Conv2D` calls",
    suits="most convolutions; export, INT8, fusion",
)

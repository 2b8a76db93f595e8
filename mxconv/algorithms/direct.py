"""MXNet's own operator, the same that `gluon.nn.Conv2D` calls.

Being that operator it keeps what is built on it: ONNX export, INT8 quantisation, operator fusion.
"""

from mxnet import sym


def direct(F, x, weight, bias, geometry, name="fwd"):
    """Convolve by the operator `Convolution`; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    attributes = geometry.attributes if F is sym else geometry.fewest_attributes
    return F.Convolution(x, weight, bias, name=name, no_bias=bias is None, **attributes)

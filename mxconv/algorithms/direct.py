"""MXNet's own operator, the same that `gluon.nn.Conv2D` calls.

Being that operator it keeps what is built on it: ONNX export, INT8 quantisation, operator fusion.
"""


def direct(F, x, weight, bias, geometry):
    """Convolve by the operator `Convolution`; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    operands = (x, weight) if bias is None else (x, weight, bias)
    return F.Convolution(
        *operands,
        name="fwd",
        kernel=geometry.kernel_size,
        stride=geometry.strides,
        dilate=geometry.dilation,
        pad=geometry.padding,
        num_filter=geometry.channels,
        num_group=geometry.groups,
        no_bias=bias is None,
        layout=geometry.layout,
    )

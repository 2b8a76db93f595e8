"""Two convolutions in a row, merged into one: the chapter's first exercise.

Each output of the second layer is a sum, over the taps b of its kernel, of outputs of the first
layer. Each of those is a sum, over the taps a of the first kernel, of inputs. With nothing
nonlinear in between, the two sums become one::

    K[o, c, u] = sum over m, and over all a + s b = u, of K2[o, m, b] K1[m, c, a]
    bias[o] = bias2[o] + sum over m and b of K2[o, m, b] bias1[m]

Here m counts the channels between the layers, and s is the strides of the first. In space, this is
a true convolution of the two kernels, not a cross-correlation. Across channels, it is a matrix
product.

The converse is in `factorization.py`.
"""

from typing import Any, List, Optional, Tuple, Type

from mxnet import autograd, init, nd
from mxnet.gluon import Block, nn
from mxnet.gluon.parameter import DeferredInitializationError
from mxnet.util import is_np_array

from .. import _checks, _gluon, dtypes
from ..algorithms.native import native
from ..algorithms.ops import dilate
from ..geometry import ConvGeometry
from ..layer import MultiChannelConv2D, geometry_of


def merge_convolutions(first: Any, second: Any) -> Any:
    """Merge two convolutions in a row, `first` and then `second`, into a single one.

    A kernel stands for a convolution with stride 1 and neither padding nor bias. The merged kernel
    keeps the dtype and the context, and gradients flow through it.

    Of two layers, only the first may have padding, and only the second an activation. The merged
    layer has the product of their strides and one bias for both; dilation and groups become zeros
    in its kernel. Its parameters are new, on the contexts of `first`.

    Parameters
    ----------
    first : NDArray of shape (c_mid, c_i, k1_h, k1_w), MultiChannelConv2D or gluon.nn.Conv2D
    second : NDArray of shape (c_o, c_mid, k2_h, k2_w), MultiChannelConv2D or gluon.nn.Conv2D

    Returns
    -------
    NDArray of shape (c_o, c_i, k1_h + k2_h - 1, k1_w + k2_w - 1), or MultiChannelConv2D
        On each axis, the layer's kernel has ``w1 + s1 (w2 - 1)`` elements, where
        ``w = d (k - 1) + 1`` is the size of a dilated kernel.

    Raises
    ------
    ValueError
        If no single convolution equals the two layers, because of an activation in the first or
        padding in the second; if a kernel has the wrong rank, or the channels, layouts or contexts
        don't match; or if a layer has no parameter values yet.
    TypeError
        If one argument is a kernel and the other a layer, or either is something else; if the
        dtypes differ, or MXNet can't convolve with them.

    See Also
    --------
    factor_kernel_1d : The converse, where it holds.
    expand_kernel : The converse, with more channels in between.

    Examples
    --------
    >>> print(merge_convolutions(nd.array([[[[1, 2]]]]), nd.array([[[[1, 10]]]])))
    <BLANKLINE>
    [[[[ 1. 12. 20.]]]]
    <NDArray 1x1x1x3 @cpu(0)>
    """
    are_layers = isinstance(first, Block), isinstance(second, Block)
    if all(are_layers):
        return _merge_layers(first, second)
    if any(are_layers):
        raise TypeError(
            "expected two kernels or two layers, received first of type "
            f"{type(first).__name__} and second of type {type(second).__name__}"
        )
    return _merge_kernels(first, second)


def _merge_kernels(first: Any, second: Any) -> Any:
    c_mid, c_i = _checks.kernel("first", first).shape[:2]
    _require_same_channels(c_mid, _checks.kernel("second", second).shape[1])
    _require_same_dtype(first.dtype, second.dtype)
    _require_same("context", first.context, second.context)
    return _pull_back(second, first, ConvGeometry(c_mid, first.shape[2:], in_channels=c_i))


def _merge_layers(first: Any, second: Any) -> MultiChannelConv2D:
    g1, g2 = _initialized_geometry("first", first), _initialized_geometry("second", second)
    _check_mergeable(first, second, g1, g2)
    (s1_h, s1_w), (s2_h, s2_w) = g1.strides, g2.strides
    with autograd.pause():
        weight, bias = _merge_parameters(first, second, g1, g2)
        layer = MultiChannelConv2D(
            g2.channels,
            kernel_size=weight.shape[2:],
            strides=(s1_h * s2_h, s1_w * s2_w),
            padding=g1.padding,
            layout=g1.layout,
            activation=_gluon.activation_of(second),
            use_bias=bias is not None,
            in_channels=g1.in_channels,
            padding_mode=g1.padding_mode,
            dtype=weight.dtype,
        )
        layer.initialize(init.Zero(), ctx=first.weight.list_ctx())
        if g1.layout == "NHWC":
            weight = weight.transpose((0, 2, 3, 1))
        for parameter, value in ((layer.weight, weight), (layer.bias, bias)):
            if value is not None:
                parameter.set_data(value.as_np_ndarray() if is_np_array() else value)
    return layer


def _initialized_geometry(name: str, layer: Any) -> ConvGeometry:
    """The geometry of a convolution whose parameters have values; `name` is the argument's."""
    if type(layer) not in (MultiChannelConv2D, nn.Conv2D):  # a subclass may compute something else
        raise TypeError(
            f"{name} has the wrong type: expected a MultiChannelConv2D or a gluon.nn.Conv2D, "
            f"received a {type(layer).__module__}.{type(layer).__name__}"
        )
    try:
        layer.weight.list_data()
    except DeferredInitializationError:
        raise ValueError(
            f"{name} doesn't know its input channels yet: expected a layer whose parameters have "
            f"values, received {layer!r}; give in_channels, or run an input through it"
        ) from None
    except RuntimeError:
        raise ValueError(
            f"{name} isn't initialized: expected a layer whose parameters have values, received "
            f"{layer!r}; call its initialize() first"
        ) from None
    return geometry_of(layer)


def _check_mergeable(first: Any, second: Any, g1: ConvGeometry, g2: ConvGeometry) -> None:
    """Reject two layers that don't fit together or that no single convolution equals."""
    if first.act is not None:
        raise ValueError(
            "no single convolution equals two with a nonlinearity between them: expected first "
            f"without an activation, received first with activation={_gluon.activation_of(first)!r}"
        )
    if g2.padding != (0, 0):
        raise ValueError(
            "second pads the output of first, and no padding of the input has the same effect: "
            f"expected second without padding, received second with padding={g2.padding}"
        )
    _require_same_channels(g1.channels, g2.in_channels)
    _require_same("layout", g1.layout, g2.layout)
    _require_same_dtype(first.weight.dtype, second.weight.dtype)
    _require_same("contexts", set(first.weight.list_ctx()), set(second.weight.list_ctx()))


def _merge_parameters(
    first: Any, second: Any, g1: ConvGeometry, g2: ConvGeometry
) -> Tuple[Any, Optional[Any]]:
    """The weight (c_o, c_i, k_h, k_w) of the merged layer, and its bias or None."""
    context = first.weight.list_ctx()[0]
    parameters: List[Any] = []
    for name, layer in (("first", first), ("second", second)):
        weight = _checks.kernel(name, layer.weight.data(context).as_nd_ndarray())
        weight = weight if g1.layout == "NCHW" else weight.transpose((0, 3, 1, 2))
        bias = None if layer.bias is None else layer.bias.data(context).as_nd_ndarray()
        parameters.append((weight, bias))
    ours, theirs = parameters
    return merge_parameters(ours, theirs, g1, g2)


def merge_parameters(
    first: Tuple[Any, Any], second: Tuple[Any, Any], g1: ConvGeometry, g2: ConvGeometry
) -> Tuple[Any, Optional[Any]]:
    """Merge the parameters of two convolutions in NCHW, the second of which doesn't pad.

    Parameters
    ----------
    first, second : tuple of NDArray
        The weight (c_o, c_i / groups, k_h, k_w) and the bias (c_o,), which may be None, of each.
    g1, g2 : ConvGeometry
        The geometry of each, with its input channels.

    Returns
    -------
    tuple of NDArray
        The weight (c_o, c_i, k_h, k_w) of the merged convolution, and its bias or None.
    """
    (w1, b1), (w2, b2) = first, second
    # Start from the identity, a 1x1 kernel on the outputs, and pull it back layer by layer.
    c_o = g2.channels
    identity = nd.eye(c_o, ctx=w2.context, dtype=w2.dtype).reshape((c_o, c_o, 1, 1))
    between = _pull_back(identity, w2, g2)
    biases = [] if b2 is None else [b2]
    if b1 is not None:
        biases.append(nd.dot(between.sum(axis=(2, 3)), b1))
    return _pull_back(between, w1, g1), nd.add_n(*biases) if biases else None


def _pull_back(kernel: Any, weight: Any, geometry: ConvGeometry) -> Any:
    """Turn a kernel on a convolution's output into the equivalent kernel on its input.

    Each tap of the kernel becomes a copy of the convolution's weight, and neighboring copies are
    `strides` apart. The sum of all copies is a full cross-correlation with the weight rotated by
    180 degrees: the operation that also carries a gradient from the output back to the input.
    """
    g, c_i, (k_h, k_w) = geometry.groups, geometry.in_channels, geometry.dilated_kernel_size
    # (c_mid, c_i / g, k_h, k_w) -> (c_i, c_mid / g, k_h, k_w)
    weight = dilate(nd, weight, geometry.dilation).reshape((g, -1, c_i // g, k_h, k_w))
    weight = weight.transpose((0, 2, 1, 3, 4)).reshape((c_i, -1, k_h, k_w)).flip(axis=(2, 3))
    full = ConvGeometry(c_i, (k_h, k_w), padding=(k_h - 1, k_w - 1), groups=g)
    return native(nd, dilate(nd, kernel, geometry.strides), weight, None, full)


def _require_same_channels(outputs: int, inputs: int) -> None:
    if outputs != inputs:
        raise ValueError(
            "expected as many input channels in second as output channels in first, received "
            f"{inputs} for second and {outputs} for first"
        )


def _require_same_dtype(first: Any, second: Any) -> None:
    _require_same("dtype", dtypes.name_of(first), dtypes.name_of(second), error=TypeError)


def _require_same(what: str, first: Any, second: Any, error: Type[Exception] = ValueError) -> None:
    if first != second:
        raise error(
            f"expected first and second to have the same {what}, received {first!r} for first "
            f"and {second!r} for second"
        )

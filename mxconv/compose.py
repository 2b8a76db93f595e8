"""Two convolutions in a row as one: the chapter's first problem.

An output of the second layer is a sum over the taps b of its kernel, of outputs of the first, and
each of those is a sum over taps a, of inputs. Nothing nonlinear stands between, so the sums merge:

    K[o, c, u] = sum over m, and over all a + s b = u, of K2[o, m, b] K1[m, c, a],
    bias[o] = bias2[o] + sum over m and b of K2[o, m, b] bias1[m],

with m the channels between and s the strides of the first. Over space this is a true convolution of
the kernels, not a cross-correlation; over channels it is a matrix product.

The converse is the subject of `factor.py`.
"""

from mxnet import autograd, init, nd
from mxnet.gluon import Block, nn
from mxnet.gluon.parameter import DeferredInitializationError
from mxnet.util import is_np_array

from . import _checks, dtypes
from .algorithms.direct import direct
from .algorithms.steps import dilate
from .geometry import ConvGeometry
from .layer import MultiChannelConv2D, geometry_of


def compose(first, second):
    """The single convolution that equals `first` and then `second`.

    A kernel stands for a convolution of stride 1 without padding and bias; the result keeps dtype
    and context, and can be differentiated. Of two layers, the first may have padding and the second
    an activation. The new layer has the product of their strides and one bias for both; dilation
    and groups become zeros in its kernel. Its parameters are new, on the contexts of `first`.

    Parameters
    ----------
    first : NDArray of shape (c_mid, c_i, k1_h, k1_w), MultiChannelConv2D or gluon.nn.Conv2D
    second : NDArray of shape (c_o, c_mid, k2_h, k2_w), MultiChannelConv2D or gluon.nn.Conv2D

    Returns
    -------
    NDArray of shape (c_o, c_i, k1_h + k2_h - 1, k1_w + k2_w - 1), or MultiChannelConv2D
        The layer's kernel spans w1 + s1 (w2 - 1) elements per axis, where w = d (k - 1) + 1.

    Raises
    ------
    ValueError
        Layers that no single convolution equals: an activation between them, or padding in the
        second. A wrong rank, channels that don't match, different contexts, or no parameters yet.
    TypeError
        A kernel with a layer, other types, different dtypes, or one that MXNet can't convolve.

    Examples
    --------
    >>> print(compose(nd.array([[[[1, 2]]]]), nd.array([[[[1, 10]]]])))
    <BLANKLINE>
    [[[[ 1. 12. 20.]]]]
    <NDArray 1x1x1x3 @cpu(0)>
    """
    are_layers = isinstance(first, Block), isinstance(second, Block)
    if all(are_layers):
        return _compose_layers(first, second)
    if any(are_layers):
        raise TypeError(
            "expected two kernels or two layers, received first of type "
            f"{type(first).__name__} and second of type {type(second).__name__}"
        )
    c_mid, c_i = _checks.kernel("first", first).shape[:2]
    _same("number of channels between them", c_mid, _checks.kernel("second", second).shape[1])
    _same("dtype", *(dtypes.name_of(kernel.dtype) for kernel in (first, second)), TypeError)
    _same("context", first.context, second.context)
    return _on_input(second, first, ConvGeometry(c_mid, first.shape[2:], in_channels=c_i))


def _compose_layers(first, second):
    g1, g2 = _geometry("first", first), _geometry("second", second)
    if first.act is not None:
        raise ValueError(
            "a nonlinearity between two convolutions keeps them from being one: expected first "
            f"without an activation, received first with activation={first.act._act_type!r}"
        )
    if g2.padding != (0, 0):
        raise ValueError(
            "padding in second surrounds what first computes, as no padding of its input does: "
            f"expected second without padding, received second with padding={g2.padding}"
        )
    contexts = first.weight.list_ctx()
    _same("number of channels between them", g1.channels, g2.in_channels)
    _same("layout", g1.layout, g2.layout)
    _same("dtype", *(dtypes.name_of(layer.weight.dtype) for layer in (first, second)), TypeError)
    _same("contexts", set(contexts), set(second.weight.list_ctx()))
    with autograd.pause():
        weight, bias = _merged(first, second, g1, g2, contexts[0])
        layer = MultiChannelConv2D(
            g2.channels,
            kernel_size=weight.shape[2:],
            strides=tuple(s1 * s2 for s1, s2 in zip(g1.strides, g2.strides)),
            padding=g1.padding,
            layout=g1.layout,
            activation=None if second.act is None else second.act._act_type,
            use_bias=bias is not None,
            in_channels=g1.in_channels,
            padding_mode=g1.padding_mode,
            dtype=weight.dtype,
        )
        layer.initialize(init.Zero(), ctx=contexts)
        if g1.layout == "NHWC":
            weight = weight.transpose((0, 2, 3, 1))
        for parameter, value in ((layer.weight, weight), (layer.bias, bias)):
            if value is not None:
                parameter.set_data(value.as_np_ndarray() if is_np_array() else value)
    return layer


def _merged(first, second, g1, g2, context):
    """The weight (c_o, c_i, k_h, k_w) of the composed layer, and its bias or None."""
    weights = []
    for name, layer in (("first", first), ("second", second)):
        weight = _checks.kernel(name, layer.weight.data(context).as_nd_ndarray())
        weights.append(weight if g1.layout == "NCHW" else weight.transpose((0, 3, 1, 2)))
    # Each output as a kernel on the outputs, then on what is between, then on the input.
    c_o = g2.channels
    itself = nd.eye(c_o, ctx=context, dtype=weights[1].dtype).reshape((c_o, c_o, 1, 1))
    between = _on_input(itself, weights[1], g2)
    biases = []
    if second.bias is not None:
        biases.append(second.bias.data(context).as_nd_ndarray())
    if first.bias is not None:
        b1 = first.bias.data(context).as_nd_ndarray()
        biases.append(nd.dot(between.sum(axis=(2, 3)), b1))
    return _on_input(between, weights[0], g1), nd.add_n(*biases) if biases else None


def _on_input(kernel, weight, geometry):
    """A kernel on the output of a convolution, as a kernel on that convolution's input.

    Its taps, `strides` apart, become copies of the weight. This is the full cross-correlation with
    the weight turned by 180 degrees, which carries a gradient from output to input too.
    """
    g, c_i, (k_h, k_w) = geometry.groups, geometry.in_channels, geometry.window
    # (c_mid, c_i / g, k_h, k_w) -> (c_i, c_mid / g, k_h, k_w)
    weight = dilate(nd, weight, geometry.dilation).reshape((g, -1, c_i // g, k_h, k_w))
    weight = weight.transpose((0, 2, 1, 3, 4)).reshape((c_i, -1, k_h, k_w)).flip(axis=(2, 3))
    full = ConvGeometry(c_i, (k_h, k_w), padding=(k_h - 1, k_w - 1), groups=g)
    return direct(nd, dilate(nd, kernel, geometry.strides), weight, None, full)


def _geometry(name, layer):
    """The geometry of a layer, which has to have its parameters."""
    if type(layer) not in (MultiChannelConv2D, nn.Conv2D):  # a subclass may compute something else
        raise TypeError(
            f"{name} has the wrong type: expected a MultiChannelConv2D or a gluon.nn.Conv2D, "
            f"received a {type(layer).__module__}.{type(layer).__name__}"
        )
    try:
        layer.weight.list_data()
    except DeferredInitializationError:
        raise ValueError(
            f"{name} waits for its input channels, received {layer!r}: give in_channels, or run an "
            "input through it"
        ) from None
    except RuntimeError:
        raise ValueError(
            f"{name} isn't initialized, received {layer!r}: call its initialize() first"
        ) from None
    return geometry_of(layer)


def _same(what, first, second, error=ValueError):
    if first != second:
        raise error(
            f"expected first and second to have the same {what}, received {first!r} for first "
            f"and {second!r} for second"
        )

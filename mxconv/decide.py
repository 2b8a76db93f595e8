"""Have a network's layers choose their algorithms before any of them sees an array."""

from . import _checks, dtypes
from .cost.trace import trace
from .layer import trace_again
from .network import layers_of


def choose_algorithms(net, input_shape):
    """Have every layer with algorithm 'auto' choose for an input of some shape.

    A layer chooses at its first call, and inside a hybridized network it isn't called. So a network
    that is hybridized at once stays with 'direct', unless it is told the shape of its input, which
    is enough to know that of every layer's. Nothing is computed, and no parameter needs a value.
    Layers that have chosen already choose anew; one that is used twice, for its first use.

    Parameters
    ----------
    net : gluon.Block
        A network that can be hybridized, or a lone layer; the outermost block.
    input_shape : tuple of int, or tuple of those
        Of the input, with its batch: (N, c_i, h, w), or whatever the first layer takes; for several
        inputs a tuple with the shape of each, and a list of shapes for an input that is a list.

    Returns
    -------
    gluon.Block
        net. Graphs with a layer that has changed its choice are traced again.

    Raises
    ------
    TypeError
        net isn't a Block, or can't be traced; an input_shape that isn't a tuple of integers.
    ValueError
        A network without a `MultiChannelConv2D`, or an input shape that it can't take.

    Examples
    --------
    >>> net = nn.HybridSequential()
    >>> net.add(MultiChannelConv2D(64, 3, padding=1), MultiChannelConv2D(2, 3, padding=1))
    >>> net.hybridize()
    >>> net = choose_algorithms(net, (1, 3, 128, 128))
    """
    layers = {layer.prefix + "fwd": layer for layer in layers_of(net)}
    shapes = {}
    for node in trace(net, _checks.input_shapes(input_shape)):
        if node.name in layers:
            shapes.setdefault(layers[node.name], node.inputs[0])
    changed = []
    for layer, shape in shapes.items():
        if layer.algorithm == "auto":
            before = layer.chosen_algorithm
            layer._forget()
            _choose(layer, shape)
            if layer.chosen_algorithm != before:
                changed.append(layer)
    trace_again(changed)
    return net


def _choose(layer, core_shape):
    """Have a layer choose for the shape of its operator's input; its channels may be new to it."""
    if not layer.geometry.in_channels:
        layer.weight.shape = layer.geometry.with_in_channels(core_shape[1]).weight_shape
        layer.weight._var = None  # the Symbol of the trace, which doesn't have that shape
    layer._choose(core_shape, dtypes.as_dtype(layer.weight.dtype), layer._contexts()[0])

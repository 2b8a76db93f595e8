"""What each layer of a network gets as its input: its shape, by tracing, or the array itself."""

from typing import Any, Dict, Iterable, List, Sequence, Set, Tuple

from mxnet import autograd, nd
from mxnet.gluon import Block

from .. import _gluon
from ..layer import MultiChannelConv2D
from ..networks.operators import operators_of
from ..networks.tracing import eager, flatten, force_native
from ..networks.traversal import all_blocks


def shapes_by_tracing(
    net: Block, layers: Iterable[MultiChannelConv2D], input_shapes: Sequence[Any]
) -> Dict[MultiChannelConv2D, Tuple[int, ...]]:
    """Return the shape of each layer's first input, for input shapes of the network.

    Nothing is computed, and no parameter needs values. Layers that the input doesn't reach are left
    out; the others learn their input channels.
    """
    by_name = {layer.prefix + "fwd": layer for layer in layers}
    shapes: Dict[MultiChannelConv2D, Tuple[int, ...]] = {}
    for node in operators_of(net, input_shapes):
        layer = by_name.get(node.name)
        if layer is None or layer in shapes:
            continue
        shape = layer.geometry.input_shape_for(node.inputs[0])
        if not layer.geometry.in_channels:
            c_i = node.inputs[0][1]
            layer.weight.shape = layer.geometry.with_in_channels(c_i).weight_shape
            _gluon.forget_symbol(layer.weight)  # traced without that shape
        shapes[layer] = shape
    return shapes


def arrays_by_running(
    net: Block, layers: Iterable[MultiChannelConv2D], inputs: Sequence[Any]
) -> Dict[MultiChannelConv2D, Any]:
    """Return each layer's first input when the network is called eagerly on `inputs`.

    Layers that the input doesn't reach are left out.

    Raises
    ------
    ValueError
        If a parameter has no values, or if the input reaches no layer.
    """
    for parameter in net.collect_params().values():
        if not _gluon.has_values(parameter) and not _gluon.is_deferred(parameter):
            raise ValueError(
                "expected a network whose parameters have values, received a "
                f"{type(net).__name__} whose {parameter.name!r} has none: call net.initialize() or "
                "net.load_parameters(...)"
            )
    recorded: Dict[MultiChannelConv2D, Any] = {}
    hooks: List[Any] = []

    def record_input(layer: MultiChannelConv2D, arguments: Sequence[Any]) -> None:
        recorded.setdefault(layer, arguments[0])

    try:
        with autograd.pause(), force_native(net), eager(net):
            for layer in layers:
                hooks.append(layer.register_forward_pre_hook(record_input))
            net(*inputs)
            nd.waitall()
    finally:
        for hook in hooks:
            hook.detach()
    if not recorded:
        shapes = ", ".join(str(array.shape) for array in flatten(inputs))
        raise ValueError(
            "expected an x that reaches a MultiChannelConv2D of the network, received an x of "
            f"shape {shapes}, which reaches none of the layers"
        )
    return recorded


def blocks_in_graphs(net: Block) -> Set[Block]:
    """Return the blocks inside the graph of a hybridized block above them."""
    hybridized = [block for block in all_blocks(net) if _gluon.is_hybridized(block)]
    return {below for block in hybridized for below in all_blocks(block) if below is not block}

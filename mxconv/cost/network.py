"""The cost of a whole network: of each convolution and fully connected layer in it, and in all."""

from dataclasses import dataclass, replace
from math import prod
from typing import Tuple

from ..geometry import ConvGeometry
from ..layer import MultiChannelConv2D
from ..network import blocks
from .convolution import Backward, ConvolutionCost, Operations, convolution_cost, layer_cost
from .text import aligned
from .trace import trace


@dataclass(frozen=True)
class LayerCost:
    """One use of a layer: its name, its kind, the name of its weight and its `ConvolutionCost`."""

    name: str
    kind: str
    weight: str
    cost: ConvolutionCost


@dataclass(frozen=True)
class NotCounted:
    """An operator that isn't counted: the names of its uses, and the elements that they make."""

    operator: str
    names: Tuple[str, ...]
    elements: int


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs for an input of one shape; see `mxconv.cost` for what is counted."""

    input_shape: tuple  # of ints, or for several inputs of their shapes
    layers: Tuple[LayerCost, ...]
    not_counted: Tuple[NotCounted, ...]

    @property
    def forward(self):
        """The `Operations` of all layers."""
        return sum((layer.cost.forward for layer in self.layers), Operations())

    @property
    def backward(self):
        """The `Backward` of all layers, the first too, whose input's gradient is rarely wanted."""
        return sum((layer.cost.backward for layer in self.layers), Backward())

    @property
    def parameters(self):
        """Elements of the weights and biases of the layers counted, shared ones once."""
        return sum({layer.weight: _parameters(layer.cost) for layer in self.layers}.values())

    def rows(self):
        """A dict for each layer, of its names, its shapes and, as whole numbers, its counts.

        There are no totals of memory, as one layer's output is the next one's input.
        """
        return [
            {
                "layer": layer.name,
                "kind": layer.kind,
                "input_shape": layer.cost.input_shape,
                "output_shape": layer.cost.output_shape,
                "algorithm": layer.cost.algorithm,
                "parameters": _parameters(layer.cost),
                **_counts(layer.cost),
                "memory_forward": layer.cost.memory.forward.total,
                "memory_backward": layer.cost.memory.backward,
            }
            for layer in self.layers
        ]

    def table(self):
        """The layers, their totals, and what isn't counted, as text."""
        total = {"layer": "total", "parameters": self.parameters, **_counts(self)}
        shown = ("layer", "kind", "output_shape", "parameters", *_counts(self))
        lines = [[key.replace("_", " ") for key in shown]]
        lines += [[row.get(key, "") for key in shown] for row in self.rows() + [total]]
        others = [("not counted", "times", "elements made")]
        others += [(item.operator, len(item.names), item.elements) for item in self.not_counted]
        return "\n".join([f"input {self.input_shape}", "", *aligned(lines), "", *aligned(others)])

    __str__ = table


def network_cost(net, input_shapes):
    """The `NetworkCost` of a Gluon block for arguments of some shapes."""
    makers = {block.prefix + "fwd": block for block in blocks(net)}
    layers, others = [], {}
    for node in trace(net, input_shapes):
        block = makers.get(node.name)
        cost = _node_cost(node, block)
        if cost is None:
            others.setdefault(node.operator, []).append(node)
        else:
            name, kind = (block.name, type(block).__name__) if block else (node.name, node.operator)
            layers.append(LayerCost(name, kind, node.weight, cost))
    not_counted = tuple(
        NotCounted(
            operator,
            tuple(node.name for node in nodes),
            sum(prod(shape) for node in nodes for shape in node.outputs),
        )
        for operator, nodes in others.items()
    )
    input_shape = input_shapes[0] if len(input_shapes) == 1 else input_shapes
    return NetworkCost(input_shape, tuple(layers), not_counted)


def _parameters(cost):
    return cost.memory.forward.weight + cost.memory.forward.bias


def _counts(cost):
    return {
        "multiplications": cost.forward.multiplications,
        "additions": cost.forward.additions,
        "bias_additions": cost.forward.bias_additions,
        "backward_multiplications": cost.backward.multiplications,
        "backward_additions": cost.backward.additions,
    }


def _node_cost(node, block):
    """The cost of an operator, which `block` called if it is known; None where it isn't counted."""
    if node.operator == "Convolution" and isinstance(block, MultiChannelConv2D):
        return layer_cost(block, _layer_input(block.geometry, node.inputs[0]))
    use_bias = not node.attributes.get("no_bias")
    if node.operator == "Convolution":
        if len(node.attributes["kernel"]) != 2:
            return None
        geometry = ConvGeometry.of_operator(node.attributes)
        return convolution_cost(geometry, node.inputs[0], use_bias)
    if node.operator == "FullyConnected":
        shape = node.inputs[0]
        units = prod(shape[1:]) if node.attributes.get("flatten", True) else shape[-1]
        geometry = ConvGeometry(node.attributes["num_hidden"], kernel_size=1)
        cost = convolution_cost(geometry, (prod(shape) // units, units, 1, 1), use_bias)
        return replace(cost, input_shape=shape, output_shape=node.outputs[0])
    return None


def _layer_input(geometry, shape):
    """The shape of a layer's input, from that of its operator's: NCHW and, it may be, padded."""
    sizes = dict(zip("NCHW", shape))
    if geometry.padded_apart:
        for axis, margin in zip("HW", geometry.margins):
            sizes[axis] -= sum(margin)
    return tuple(sizes[axis] for axis in geometry.layout)

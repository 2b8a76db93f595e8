"""The cost of a network: of each of its convolutions and fully connected layers, and in total."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Dict, List, Optional, Tuple, Union

from ..._tables import aligned
from ...geometry import ConvGeometry
from ...layer import MultiChannelConv2D
from ...networks.operators import Node, operators_of
from ...networks.traversal import all_blocks
from .convolution import Backward, ConvolutionCost, Operations, convolution_cost, layer_cost


@dataclass(frozen=True)
class LayerCost:
    """One use of a layer: its name, its kind, the name of its weight and its `ConvolutionCost`."""

    name: str
    kind: str
    weight: str
    cost: ConvolutionCost


@dataclass(frozen=True)
class NotCounted:
    """An operator that isn't counted: the names of its uses and the elements of their outputs."""

    operator: str
    names: Tuple[str, ...]
    elements: int


@dataclass(frozen=True)
class NetworkCost:
    """The cost of a network for an input of one shape; `mxconv.count_cost` defines it.

    `str()` gives a table, and `rows()` has its figures as numbers.
    """

    input_shape: Tuple[Any, ...]  # of ints or, if there are several inputs, of their shapes
    layers: Tuple[LayerCost, ...]
    not_counted: Tuple[NotCounted, ...]

    @property
    def forward(self) -> Operations:
        """The `Operations` of all layers."""
        return sum((layer.cost.forward for layer in self.layers), Operations())

    @property
    def backward(self) -> Backward:
        """The `Backward` of all layers, including the first, whose data gradient is rarely used."""
        return sum((layer.cost.backward for layer in self.layers), Backward())

    @property
    def parameters(self) -> int:
        """The elements of the weights and biases of all layers counted; shared ones count once."""
        return sum({layer.weight: _parameter_count(layer.cost) for layer in self.layers}.values())

    def rows(self) -> List[Dict[str, Any]]:
        """A dict for each layer, with its names, its shapes and its counts as integers.

        Memory has no total, because one layer's output is the next one's input.
        """
        return [
            {
                "layer": layer.name,
                "kind": layer.kind,
                "input_shape": layer.cost.input_shape,
                "output_shape": layer.cost.output_shape,
                "algorithm": layer.cost.algorithm,
                "parameters": _parameter_count(layer.cost),
                **_operation_counts(layer.cost),
                "memory_forward": layer.cost.memory.forward.total,
                "memory_backward": layer.cost.memory.backward,
            }
            for layer in self.layers
        ]

    def __str__(self) -> str:
        counts = _operation_counts(self)
        total = {"layer": "total", "parameters": self.parameters, **counts}
        keys = ("layer", "kind", "output_shape", "parameters", *counts)
        counted = [[key.replace("_", " ") for key in keys]]
        counted += [[row.get(key, "") for key in keys] for row in [*self.rows(), total]]
        others: List[Tuple[Any, ...]] = [("not counted", "times", "elements made")]
        others += [(item.operator, len(item.names), item.elements) for item in self.not_counted]
        return "\n".join([f"input {self.input_shape}", "", *aligned(counted), "", *aligned(others)])


def network_cost(net: Any, input_shapes: Tuple[Any, ...]) -> NetworkCost:
    """The `NetworkCost` of a Gluon block; `input_shapes` has the shape of each argument."""
    # Gluon names the operator of a block after the block.
    blocks = {block.prefix + "fwd": block for block in all_blocks(net)}
    layers: List[LayerCost] = []
    others: Dict[str, List[Node]] = {}
    for node in operators_of(net, input_shapes):
        block = blocks.get(node.name)
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


def _parameter_count(cost: ConvolutionCost) -> int:
    return cost.memory.forward.weight + cost.memory.forward.bias


def _operation_counts(cost: Union[ConvolutionCost, NetworkCost]) -> Dict[str, int]:
    return {
        "multiplications": cost.forward.multiplications,
        "additions": cost.forward.additions,
        "bias_additions": cost.forward.bias_additions,
        "backward_multiplications": cost.backward.multiplications,
        "backward_additions": cost.backward.additions,
    }


def _node_cost(node: Node, block: Any) -> Optional[ConvolutionCost]:
    """The cost of an operator, or None if it isn't counted; `block` is what called it, or None."""
    if node.operator == "Convolution" and isinstance(block, MultiChannelConv2D):
        return layer_cost(block, block.geometry.input_shape_for(node.inputs[0]))
    use_bias = not node.attributes.get("no_bias")
    if node.operator == "Convolution":
        if len(node.attributes["kernel"]) != 2:
            return None
        geometry = ConvGeometry.from_op_attrs(node.attributes)
        return convolution_cost(geometry, node.inputs[0], use_bias)
    if node.operator == "FullyConnected":
        shape = node.inputs[0]
        units = prod(shape[1:]) if node.attributes.get("flatten", True) else shape[-1]
        geometry = ConvGeometry(node.attributes["num_hidden"], kernel_size=1)
        cost = convolution_cost(geometry, (prod(shape) // units, units, 1, 1), use_bias)
        return replace(cost, input_shape=shape, output_shape=node.outputs[0])
    return None

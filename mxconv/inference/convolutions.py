"""The convolutions of a graph, and a pass that computes them by other algorithms."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional

import numpy as np
from mxnet import sym
from mxnet.name import NameManager

from .._tables import x_joined
from ..algorithms import ALGORITHMS
from ..geometry import ConvGeometry, parse_op_attr
from .graph import Entry, Graph, Node, Shape

# What oneDNN can compute together with a convolution.
ACTIVATIONS = ("Activation", "LeakyReLU", "clip")
SUMS = ("elemwise_add", "_plus", "_npi_add")


class Task(NamedTuple):
    """All that determines how long a convolution takes.

    Attributes
    ----------
    geometry : ConvGeometry
        With known input channels.
    input_shape : tuple of int
        (n, c_i, h, w).
    has_bias : bool
    activation : tuple
        The operator behind the convolution and its attributes, or ().
    """

    geometry: ConvGeometry
    input_shape: Shape
    has_bias: bool
    activation: Any


def geometry_of(graph: Graph, node: Node, input_shape: Shape) -> Optional[ConvGeometry]:
    """Return the geometry of a convolution with constant float32 parameters, or None.

    None also stands for what has other axes than (n, c, h, w), and for an input of unknown shape.
    """
    if not input_shape:
        return None
    values = [graph.value(entry) for entry in node.inputs[1:]]
    attributes = {key: parse_op_attr(text) for key, text in node.attributes.items()}
    if any(value is None or value.dtype != np.float32 for value in values):
        return None
    if len(attributes["kernel"]) != 2 or attributes.get("layout") not in (None, "None", "NCHW"):
        return None
    attributes["layout"] = "NCHW"
    return ConvGeometry.from_op_attrs(attributes, in_channels=input_shape[1])


def tasks_of(graph: Graph, input_shapes: Mapping[str, Shape]) -> Dict[Node, Task]:
    """Return the task of each convolution that another algorithm might compute."""
    shapes, readers = graph.shapes(input_shapes), graph.readers()
    tasks = {}
    for node in graph.operators("Convolution"):
        shape = tuple(shapes[node.inputs[0]])
        geometry = geometry_of(graph, node, shape)
        if geometry is not None:
            reader = activation_behind(readers, node)
            activation = (reader.operator, *sorted(reader.attributes.items())) if reader else ()
            tasks[node] = Task(geometry, shape, len(node.inputs) > 2, activation)
    return tasks


def activation_behind(readers: Mapping[Node, List[Optional[Node]]], node: Node) -> Optional[Node]:
    """Return the activation that alone reads a node's output, or None."""
    (reader, *others) = readers[node]
    if others or reader is None or reader.operator not in ACTIVATIONS or len(reader.inputs) > 1:
        return None
    return reader


def use_algorithms(graph: Graph, chosen: Mapping[Node, str], tasks: Mapping[Node, Task]) -> int:
    """Replace convolutions by the steps of other algorithms, {convolution: name}.

    The steps that rearrange the weight are part of the graph until `fold_constants` computes them.

    Returns
    -------
    int
        How many were replaced.
    """
    for node, name in chosen.items():
        geometry = tasks[node].geometry
        inputs = dict(zip(("x", "weight", "bias"), node.inputs))
        symbols = {name: sym.var(name) for name in inputs}
        symbols.setdefault("bias", None)
        with NameManager():  # whose names don't depend on what was traced before
            steps = ALGORITHMS[name].run(sym, geometry=geometry, **symbols)
        graph.replace(Entry(node), graph.insert(steps, inputs, prefix=f"{node.name}_"))
    return len(chosen)


def describe(task: Task) -> str:
    """Describe a convolution in a few words: 64 > 2 channels, 3x3, on 56x56."""
    geometry, (_, c_i, h, w) = task.geometry, task.input_shape
    text = f"{c_i} > {geometry.channels} channels, {x_joined(geometry.kernel_size)}"
    if geometry.strides != (1, 1):
        text += f", stride {x_joined(geometry.strides)}"
    if geometry.groups > 1:
        text += f", groups {geometry.groups}"
    return f"{text}, on {h}x{w}"

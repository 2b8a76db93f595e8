"""A pass: transposes move towards the outputs, and two that cancel each other vanish.

A convolution in NHWC is one in NCHW between two transposes, so a network of them is full of pairs
like ``transpose, relu, transpose``. What is computed element by element, or along a single axis,
can as well be computed before a transpose as behind it; then the two meet.
"""

from typing import Any, Dict, Optional, Tuple

import numpy as np

from ..geometry import parse_op_attr
from .graph import VARIABLE, Entry, Graph, Node
from .scaling import WITH_ARRAY, WITH_NUMBER
from .spelling import PLAIN

TRANSPOSES = ("transpose", "_np_transpose")
Axes = Tuple[int, ...]

# What computes each element from those at its place in all inputs: of one input, and of several.
ELEMENTWISE = (
    set(WITH_NUMBER) | set(PLAIN) | {"Activation", "LeakyReLU", "hard_sigmoid", "softsign"}
)
ELEMENTWISE |= {"clip", "abs", "exp", "log", "sqrt", "square", "erf", "Cast", "amp_cast"}
ELEMENTWISE |= {"_npi_absolute", "_npi_exp", "_npi_log", "_npi_sqrt", "_npi_square"}
ELEMENTWISE |= {"_maximum_scalar", "_minimum_scalar", "_power_scalar", "_rdiv_scalar"}
ELEMENTWISE |= {"_npi_power_scalar", "_npi_rtrue_divide_scalar"}
ELEMENTWISE |= {"elemwise_add", "elemwise_sub", "elemwise_mul", "elemwise_div", "add_n"}
# These broadcast, so a constant among their inputs may have fewer axes.
BROADCASTING = {*WITH_ARRAY, "broadcast_maximum", "broadcast_minimum"}
# What works along one axis: the attribute that names it, and its default.
ALONG_AXIS = {
    "BatchNorm": ("axis", "1"),
    "Concat": ("dim", "1"),
    "_npi_concatenate": ("axis", "0"),
    "slice_axis": ("axis", "None"),
    "softmax": ("axis", "-1"),
    "log_softmax": ("axis", "-1"),
}
CHANNELS_FIRST = {"NWC": "NCW", "NHWC": "NCHW", "NDHWC": "NCDHW"}


def cancel_transposes(graph: Graph) -> int:
    """Move transposes towards the outputs if that makes them fewer.

    Returns
    -------
    int
        By how many there are fewer.
    """
    moved = graph.copy()
    _move(moved)
    fewer = len(graph.operators(*TRANSPOSES)) - len(moved.operators(*TRANSPOSES))
    if fewer <= 0:
        return 0
    graph.heads, graph.values = moved.heads, moved.values
    graph.prune_values()
    return fewer


def _move(graph: Graph) -> None:
    nodes = graph.nodes()
    instead: Dict[Entry, Entry] = {}  # what is read instead of an entry
    read = [entry for node in nodes for entry in node.inputs] + graph.heads
    with_one_output = set(nodes) - {entry.node for entry in read if entry.output}
    for node in nodes:
        node.inputs = [instead.get(entry, entry) for entry in node.inputs]
        if node.operator in TRANSPOSES:
            instead[Entry(node)] = _joined(graph, node)
        elif node in with_one_output:
            instead[Entry(node)] = _moved_behind(graph, node)
    graph.heads = [instead.get(entry, entry) for entry in graph.heads]


def _joined(graph: Graph, node: Node) -> Entry:
    """Make one transpose of two in a row, or none if they cancel each other; return the result."""
    inner, outer = _axes(node.inputs[0].node), _axes(node)
    if inner is None or outer is None:
        return Entry(node)
    (source,) = node.inputs[0].node.inputs
    axes = tuple(inner[axis] for axis in outer)
    returned = Entry(node) in graph.heads and source.node.operator == VARIABLE
    if axes == tuple(range(len(axes))) and not returned:  # a network returns arrays of its own
        return source
    node.inputs, node.attributes = [source], {"axes": str(axes)}
    return Entry(node)


def _moved_behind(graph: Graph, node: Node) -> Entry:
    """Let a node read what was transposed before, and transpose what it returns; return that."""
    axes = next((axes for axes in (_axes(e.node) for e in node.inputs) if axes is not None), None)
    if axes is None:
        return Entry(node)
    attributes = _permuted(node, axes)
    data = node.inputs[:1] if node.operator == "BatchNorm" else node.inputs
    found = (_untransposed(graph, node, entry, axes) for entry in data)
    sources = [entry for entry in found if entry is not None]
    if attributes is None or len(sources) < len(data):
        return Entry(node)
    node.inputs[: len(sources)] = sources
    node.attributes = attributes
    return Entry(Node("transpose", f"{node.name}_transposed", [Entry(node)], {"axes": axes}))


def _axes(node: Node) -> Optional[Axes]:
    """Return the axes of a transpose; None if it names none, or if the node is another operator."""
    axes = node.operator in TRANSPOSES and parse_op_attr(node.attributes.get("axes", "None"))
    return tuple(axis % len(axes) for axis in axes) if axes else None


def _permuted(node: Node, axes: Axes) -> Optional[Dict[str, Any]]:
    """Return the attributes for an input before it is transposed, None if the operator can't move.

    Axis i of what is transposed is axis ``axes[i]`` of the input.
    """
    attributes = node.attributes
    if node.operator in ELEMENTWISE | BROADCASTING:
        return attributes
    if node.operator in ALONG_AXIS:
        name, default = ALONG_AXIS[node.operator]
        axis = parse_op_attr(attributes.get(name, default))
        return None if axis is None else {**attributes, name: str(axes[axis])}
    if node.operator == "Pooling":
        layout = attributes.get("layout", "None")
        first = CHANNELS_FIRST.get(layout, "")
        if tuple(first.find(letter) for letter in layout) == axes:
            return {**attributes, "layout": first}
    return None


def _untransposed(graph: Graph, node: Node, entry: Entry, axes: Axes) -> Optional[Entry]:
    """Return what an input of a node was before it was transposed, or None."""
    if _axes(entry.node) == axes:
        return entry.node.inputs[0]
    value = graph.value(entry)
    if value is None or node.operator not in BROADCASTING or value.ndim > len(axes):
        return None
    full = value.reshape((1,) * (len(axes) - value.ndim) + value.shape)
    back = tuple(int(axis) for axis in np.argsort(axes))
    return graph.constant(f"{entry.node.name}_transposed", full.transpose(back))

"""A pass: zero channels throughout a network, so that the numbers of channels suit the CPU.

oneDNN's kernels compute 8 or 16 channels side by side, and MXNet falls back to others, several
times slower, where a number of channels isn't a multiple of 8. The algorithm 'pad_channels' adds
zero channels to one convolution and cuts its output. In a network nothing need be cut: the added
channels are zero, so they pass through ReLU, pooling and concatenation as zeros, up to the next
convolution, whose kernel gets zeros for them.

A layout says where the zeros of an array are: a list of (channels, zero channels) along axis 1,
with one pair for each of the arrays that were concatenated.
"""

from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

import numpy as np
from mxnet import nd

from ..geometry import parse_op_attr
from .convolutions import SUMS
from .graph import Entry, Graph, Node, Shape

Layout = List[Tuple[int, int]]

LANES = 8
MAX_EXPANSION = 1.5  # of the output channels; beyond that the zeros cost more than they gain

CHANNEL_AXES = {"Convolution": (0, 1), "Deconvolution": (1, 0)}  # of weights: output, input
PASSING = {"Activation", "LeakyReLU", "clip", "Pooling", "UpSampling", "_minimum_scalar"}
CONCATENATIONS = {"Concat": "dim", "_npi_concatenate": "axis"}


def widen_channels(graph: Graph, input_shapes: Mapping[str, Shape]) -> int:
    """Round numbers of output channels up to a multiple of 8, where nothing has to be cut again.

    The convolutions and transposed convolutions themselves stay exact: zeros are added to sums.

    Returns
    -------
    int
        How many were widened.
    """
    shapes = graph.shapes(input_shapes)
    absorbed = _absorbed(graph)
    layouts: Dict[Entry, Layout] = {}
    widened = 0
    for node in graph.nodes():
        layout, inputs = None, [layouts.get(entry) for entry in node.inputs]
        if _is_linear(graph, node):
            _add_zeros(graph, node, inputs[0], "input")
            channels = int(node.attributes["num_filter"])
            zeros = -channels % LANES if Entry(node) in absorbed else 0
            if zeros and channels + zeros <= MAX_EXPANSION * channels:
                layout = [(channels, zeros)]
                _add_zeros(graph, node, layout, "output")
                widened += 1
        elif any(inputs):
            layout = _passed_on(graph, node, inputs, shapes)
            if layout is None:
                node.inputs = [_without_zeros(e, layouts.get(e)) for e in node.inputs]
        if layout:
            layouts[Entry(node)] = layout
    graph.heads = [_without_zeros(head, layouts.get(head)) for head in graph.heads]
    graph.prune_values()
    return widened


def _absorbed(graph: Graph) -> Set[Entry]:
    """Return the entries whose added channels reach convolutions only."""
    absorbed: Set[Entry] = set()
    readers = graph.readers()
    for node in reversed(graph.nodes()):
        if readers[node] and all(
            reader is not None and (_is_linear(graph, reader) or _passes(graph, reader, absorbed))
            for reader in readers[node]
        ):
            absorbed.add(Entry(node))
    return absorbed


def _passes(graph: Graph, node: Node, absorbed: Set[Entry]) -> bool:
    """Return whether an operator can pass zero channels on, and its readers absorb them."""
    known = (
        node.operator in {*PASSING, *SUMS} or _joins_channels(node) or _is_depthwise(graph, node)
    )
    return known and _keeps_zeros(node) and Entry(node) in absorbed


def _passed_on(
    graph: Graph, node: Node, inputs: List[Optional[Layout]], shapes: Mapping[Entry, Shape]
) -> Optional[Layout]:
    """Return the layout of what an operator computes from such inputs, or None if it can't."""
    if _joins_channels(node):
        layout: Layout = []
        for entry, given in zip(node.inputs, inputs):
            if not shapes[entry]:
                return None
            layout += given or [(shapes[entry][1], 0)]
        return layout
    if node.operator in SUMS:
        return inputs[0] if inputs[0] == inputs[1] else None
    if _is_depthwise(graph, node):
        _add_zeros(graph, node, inputs[0], "output")
        node.attributes["num_group"] = node.attributes["num_filter"]
        return inputs[0]
    return inputs[0] if node.operator in PASSING and _keeps_zeros(node) else None


def _keeps_zeros(node: Node) -> bool:
    """Return whether an operator that handles channels alike turns zeros into zeros."""
    attributes = {key: parse_op_attr(text) for key, text in node.attributes.items()}
    if node.operator == "Activation":
        return attributes["act_type"] in ("relu", "tanh", "softsign")
    if node.operator == "LeakyReLU":
        return attributes.get("act_type", "leaky") in ("leaky", "elu", "gelu")
    if node.operator == "clip":
        return float(attributes["a_min"]) <= 0 <= float(attributes["a_max"])  # or 'inf'
    if node.operator == "_minimum_scalar":
        return float(attributes["scalar"]) >= 0
    if node.operator == "UpSampling":
        return attributes["sample_type"] == "nearest" and len(node.inputs) == 1
    if node.operator == "Pooling":
        return attributes.get("layout") in (None, "None", "NCHW")
    return True


def _joins_channels(node: Node) -> bool:
    axis = CONCATENATIONS.get(node.operator)
    return axis is not None and node.attributes.get(axis, "1") == "1"


def _is_linear(graph: Graph, node: Node) -> bool:
    """Return whether a node is a convolution of one group, or a transposed one, of constants."""
    return (
        node.operator in CHANNEL_AXES
        and node.attributes.get("num_group", "1") == "1"
        and _has_plain_constants(graph, node)
    )


def _is_depthwise(graph: Graph, node: Node) -> bool:
    groups = node.attributes.get("num_group", "1")
    if node.operator != "Convolution" or groups != node.attributes["num_filter"]:
        return False
    weight = graph.value(node.inputs[1])
    return weight is not None and weight.shape[1] == 1 and _has_plain_constants(graph, node)


def _has_plain_constants(graph: Graph, node: Node) -> bool:
    values = [graph.value(entry) for entry in node.inputs[1:]]
    known = all(value is not None and value.dtype == np.float32 for value in values)
    return known and node.attributes.get("layout", "None") in ("None", "NCHW")


def _add_zeros(graph: Graph, node: Node, layout: Optional[Layout], side: str) -> None:
    """Add the zeros of a layout to the 'input' or the 'output' channels of a convolution."""
    if layout is None:
        return
    output_axis, input_axis = CHANNEL_AXES[node.operator]
    on_output = side == "output"
    axes = [output_axis, 0] if on_output else [input_axis]  # of the weight, and of the bias
    for i, (entry, axis) in enumerate(zip(node.inputs[1:], axes), start=1):
        value = graph.values[entry.node.name]
        wide = nd.array(_with_zeros(value.asnumpy(), layout, axis), value.context)
        node.inputs[i] = graph.constant(f"{node.name}_wide", wide)
    if on_output:
        node.attributes["num_filter"] = str(sum(map(sum, layout)))


def _with_zeros(array: Any, layout: Layout, axis: int) -> Any:
    """Return an array with the zeros of a layout along an axis."""
    parts, begin = [], 0
    for channels, zeros in layout:
        part = np.take(array, range(begin, begin + channels), axis)
        width = [(0, zeros if i == axis else 0) for i in range(array.ndim)]
        parts.append(np.pad(part, width, mode="constant"))
        begin += channels
    return np.concatenate(parts, axis)


def _without_zeros(entry: Entry, layout: Optional[Layout]) -> Entry:
    """Return an entry from which the zeros of its layout are cut."""
    if layout is None:
        return entry
    parts, begin = [], 0
    for channels, zeros in layout:
        span = {"axis": 1, "begin": begin, "end": begin + channels}
        parts.append(Entry(Node("slice_axis", f"{entry.node.name}_cut{begin}", [entry], span)))
        begin += channels + zeros
    if len(parts) == 1:
        return parts[0]
    joined = {"dim": 1, "num_args": len(parts)}
    return Entry(Node("Concat", f"{entry.node.name}_cut", parts, joined))

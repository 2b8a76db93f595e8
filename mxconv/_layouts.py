"""Where MXNet 1.9.1 can't read arrays that oneDNN keeps in blocks, and the plain copy that helps.

oneDNN stores 8 or 16 channels side by side in memory, and MXNet silently passes such arrays from
operator to operator. Two of its operators fail on them:

- After a concatenation of channels, the gradient that a convolution returns has to be cut again.
  oneDNN can't cut within a block: it raises "could not construct a sub-memory" or, before the first
  whole block, divides by zero and crashes the process. `nn.Conv2D` fails likewise.
- In inference, a convolution converts its weight in place, to blocks of output channels and, if it
  has groups, to a layout with an axis for these. Whatever then changes the order of the axes fails:
  it divides by zero, or "could not create a primitive descriptor for a reorder primitive".
"""

import json
from typing import Any, Callable, Iterable, Mapping, Optional, Tuple

from mxnet import MXNetError, autograd, nd, sym

from . import _gluon
from .geometry import ConvGeometry

BLOCK_SIZES = (16, 8)  # in channels; a number of channels that neither divides is stored plainly
MAX_STEPS = 200  # operators to look at one by one before a whole graph is read instead

CONCATENATIONS = {"Concat": "dim", "_npi_concatenate": "axis"}  # and the attribute for the axis

# Operators are recognized by an attribute that only they have, because asking for their name takes
# ten times as long. These compute a gradient of their own: convolutions, dense layers, pooling,
# padding, slices. All others are assumed to pass on the layout they receive.
BARRIERS = {"num_filter", "num_hidden", "pool_type", "pad_width", "begin"}
OF_SEVERAL = "num_args"  # an attribute of concatenations, and of a few others
CHANNEL_AXES = ("1", "-3")


def plain(x: Any) -> Any:
    """Return a copy of an array or a Symbol in the plain layout, which its gradient has too.

    Arithmetic wouldn't do: inside a graph it may happen in place and keep the layout.
    """
    return x.slice_axis(axis=0, begin=0, end=None)


def plain_weight(weight: Any, geometry: ConvGeometry) -> Any:
    """Return a weight whose axes can be rearranged, a copy if oneDNN may keep it in blocks."""
    in_blocks = geometry.groups > 1 or block_size(geometry.channels) > 1
    return plain(weight) if in_blocks else weight


def block_size(channels: int) -> int:
    """Return how many of these channels oneDNN may keep together: 16 or 8, or 1 if none."""
    return next((size for size in BLOCK_SIZES if channels % size == 0), 1)


def recorded_after_concat(x: nd.NDArray) -> bool:
    """Return whether a concatenation may cut the gradient of an array that is being recorded.

    This is slow: autograd copies all that it has recorded to answer.
    """
    try:
        graph = autograd.get_symbol(x)
    except MXNetError:  # it isn't recorded, so it gets no gradient
        return False
    return _reaches_concat(graph, lambda symbol: _gluon.operator_of(symbol) is None)


def traced_after_concat(symbol: sym.Symbol, shapes: Mapping[str, Tuple[int, ...]]) -> bool:
    """Return whether a concatenation may cut the gradient of a Symbol within a block.

    `shapes` are those of variables, by name. Where they leave it open, the answer is True.
    """
    return _reaches_concat(symbol, lambda _: False) and _cuts_block(symbol.get_internals(), shapes)


def _reaches_concat(symbol: sym.Symbol, opaque: Callable[[sym.Symbol], bool]) -> bool:
    """Return whether a path leads back from a Symbol to a concatenation, past no barrier.

    A Symbol that has no attributes and is `opaque` may contain a concatenation. Paths that split
    and meet again are all followed, since a Symbol doesn't tell two operators of one name apart.
    """
    found = [symbol]
    for _ in range(MAX_STEPS):
        if not found:
            return False
        symbol = found.pop()
        attributes = symbol.list_attr()
        if not BARRIERS.isdisjoint(attributes):
            continue
        inputs = symbol.get_children()
        if inputs is None:  # a variable
            continue
        axis = attributes.get("dim", attributes.get("axis", "1"))
        concatenates = OF_SEVERAL in attributes and axis in CHANNEL_AXES
        if concatenates or (not attributes and opaque(symbol)):
            return True
        found += [inputs[i] for i in range(len(inputs.list_outputs()))]
    return True


def _cuts_block(entries: sym.Symbol, shapes: Mapping[str, Tuple[int, ...]]) -> bool:
    """Return whether a concatenation before a graph's last entry may cut within a block."""
    graph, names = json.loads(entries.tojson()), set(entries.list_inputs())
    nodes = graph["nodes"]
    if not any(node["op"] in CONCATENATIONS for node in nodes):
        return False
    try:
        known = {name: shape for name, shape in shapes.items() if name in names}
        _, inferred, _ = entries.infer_shape_partial(**known)
    except MXNetError:  # shapes that don't fit, which the call itself will report
        return True
    shape_of = {(i, output): shape for (i, output, _), shape in zip(graph["heads"], inferred)}
    found, seen = [graph["heads"][-1][0]], set()
    while found:
        i = found.pop()
        node, attributes = nodes[i], nodes[i].get("attrs", {})
        if i in seen or not BARRIERS.isdisjoint(attributes):
            continue
        seen.add(i)
        axis = attributes.get(CONCATENATIONS.get(node["op"]), "1")
        if node["op"] in CONCATENATIONS and axis in CHANNEL_AXES:
            if not _whole_blocks(shape_of.get((j, output)) for j, output, _ in node["inputs"]):
                return True
        found += [j for j, _, _ in node["inputs"]]
    return False


def _whole_blocks(shapes: Iterable[Optional[Tuple[int, ...]]]) -> bool:
    """Return whether concatenating channels of these shapes is known to join whole blocks.

    An unknown shape is (), or None in NumPy mode; an unknown size is 0 or -1.
    """
    channels = [shape[1] if shape and len(shape) == 4 else 0 for shape in shapes]
    size = block_size(sum(channels))
    return min(channels) > 0 and all(c % size == 0 for c in channels[:-1])

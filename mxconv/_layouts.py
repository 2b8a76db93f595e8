"""Where MXNet 1.9.1 can't read what oneDNN has laid out in blocks, and the plain copy that helps.

oneDNN keeps 8 or 16 channels side by side in memory, and MXNet hands such arrays from operator to
operator without a word. Two of its operators fail on them:

- The gradient that a convolution hands back has to be cut where channels were concatenated. Within
  a block oneDNN can't cut: "could not construct a sub-memory", or, before the first whole block, a
  division by zero that ends the process. `nn.Conv2D` has it too.
- A grouped convolution lays out its weight in place, with an axis for the groups. What changes the
  order of axes then fails: "could not create a primitive descriptor for a reorder primitive".
"""

import json

from mxnet import MXNetError, autograd

BLOCKS = (16, 8)  # channels; an array of a number that neither divides is plain
MAX_STEPS = 200  # operators that are looked at one by one, before a whole graph is read

CONCATENATIONS = {"Concat": "dim", "_npi_concatenate": "axis"}  # and their attribute

# Operators are known by an attribute that only they have, since asking for their name takes ten
# times as long. These make a gradient of their own: convolutions, dense layers, pooling, padding,
# slices. All others are taken to pass on the layout that they get.
BARRIERS = {"num_filter", "num_hidden", "pool_type", "pad_width", "begin"}
OF_SEVERAL = "num_args"  # what concatenations have, and a few others
CHANNELS = ("1", "-3")  # their axis


def plain(x):
    """A copy of x in the plain layout, and of its gradient; x is an array or a Symbol.

    Arithmetic doesn't help: in a graph it may happen in place, and keep the layout.
    """
    return x.slice_axis(axis=0, begin=0, end=None)


def block(channels):
    """How many channels of so many oneDNN may keep together, at most; 1 where it keeps none."""
    return next((size for size in BLOCKS if channels % size == 0), 1)


def recorded_behind_cut(x):
    """Whether the gradient of an array that is being recorded may be cut by a concatenation.

    Autograd copies all that it has recorded to say what was before x.
    """
    try:
        return _meets(autograd.get_symbol(x), lambda symbol: _operator(symbol) is None)
    except MXNetError:  # it isn't recorded, so it gets no gradient
        return False


def traced_behind_cut(symbol, shapes):
    """Whether the gradient of a Symbol may be cut within a block, by a concatenation before it.

    `shapes` are those of variables, by name; where they aren't enough to know, it may.
    """
    return _meets(symbol, lambda _: False) and _is_cut(symbol.get_internals(), shapes)


def _meets(symbol, opaque):
    """Whether there may be a concatenation before a Symbol with nothing but passers-on between.

    One that has no attributes and is `opaque` may hold one. Where ways part and meet again, each
    is followed: a Symbol doesn't tell two operators of one name apart.
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
        joins = OF_SEVERAL in attributes and axis in CHANNELS
        if joins or (not attributes and opaque(symbol)):
            return True
        found += [inputs[i] for i in range(len(inputs.list_outputs()))]
    return True


def _operator(symbol):
    """The name of a Symbol's operator; None for a whole graph, which can't be looked into."""
    try:
        return json.loads(symbol._gen_atomic_symbol().tojson())["nodes"][-1]["op"]
    except MXNetError:
        return None


def _is_cut(entries, shapes):
    """Whether a concatenation before the last of a graph's entries isn't known to cut at blocks."""
    graph, names = json.loads(entries.tojson()), set(entries.list_inputs())
    nodes = graph["nodes"]
    if not any(node["op"] in CONCATENATIONS for node in nodes):
        return False
    try:
        known = {name: shape for name, shape in shapes.items() if name in names}
        _, inferred, _ = entries.infer_shape_partial(**known)
    except MXNetError:  # shapes that don't fit, which the call itself will say
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
        if node["op"] in CONCATENATIONS and axis in CHANNELS:
            if not _whole_blocks(shape_of.get((j, output)) for j, output, _ in node["inputs"]):
                return True
        found += [j for j, _, _ in node["inputs"]]
    return False


def _whole_blocks(shapes):
    """Whether it is known that channels are concatenated at whole blocks of all of them.

    Unknown is (), or None in NumPy mode, and a 0 or -1 in a shape.
    """
    channels = [shape[1] if shape and len(shape) == 4 else 0 for shape in shapes]
    size = block(sum(channels))
    return min(channels) > 0 and all(c % size == 0 for c in channels[:-1])

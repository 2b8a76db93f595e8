"""A pass: a scale and a shift of each channel move into the operator that computes the channel.

A convolution is linear in its kernel, so ::

    scale[o] * (sum of K[o] * X + bias[o]) + shift[o]

is a convolution with the kernel ``scale[o] K[o]`` and the bias ``scale[o] bias[o] + shift[o]``. In
inference BatchNorm is such a scale and shift, of the moving mean and variance [1]_. Dense layers
and transposed convolutions are linear likewise. The new parameters are computed in float64.

References
----------
.. [1] S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
   Internal Covariate Shift" (2015), arXiv:1502.03167, algorithm 2.
"""

from typing import Any, NamedTuple, Optional

import numpy as np
from mxnet import nd

from ..geometry import parse_op_attr
from .graph import Entry, Graph, Node

LINEAR = ("Convolution", "Deconvolution", "FullyConnected")
FLOATS = ("float32", "float64")  # what can be scaled here; others are kept as they are

# What an operator does to x, with a number s among its attributes: (scale, shift).
WITH_NUMBER = {
    "_mul_scalar": lambda s: (s, 0.0),
    "_div_scalar": lambda s: (1 / s if s else np.nan, 0.0),
    "_plus_scalar": lambda s: (1.0, s),
    "_minus_scalar": lambda s: (1.0, -s),
    "_rminus_scalar": lambda s: (-1.0, s),
    "negative": lambda s: (-1.0, 0.0),
}
WITH_NUMBER.update(
    _npi_multiply_scalar=WITH_NUMBER["_mul_scalar"],
    _npi_true_divide_scalar=WITH_NUMBER["_div_scalar"],
    _npi_add_scalar=WITH_NUMBER["_plus_scalar"],
    _npi_subtract_scalar=WITH_NUMBER["_minus_scalar"],
    _npi_rsubtract_scalar=WITH_NUMBER["_rminus_scalar"],
    _npi_negative=WITH_NUMBER["negative"],
)
# What an operator does to x, with a constant array a as its second input.
WITH_ARRAY = {
    "broadcast_mul": lambda a: (a, 0.0),
    "broadcast_div": lambda a: (1 / a, 0.0),
    "broadcast_add": lambda a: (1.0, a),
    "broadcast_sub": lambda a: (1.0, -a),
}
WITH_ARRAY.update(
    _npi_multiply=WITH_ARRAY["broadcast_mul"],
    _npi_true_divide=WITH_ARRAY["broadcast_div"],
    _npi_add=WITH_ARRAY["broadcast_add"],
    _npi_subtract=WITH_ARRAY["broadcast_sub"],
)
SYMMETRIC = {"broadcast_mul", "broadcast_add", "_npi_multiply", "_npi_add"}


class Scaling(NamedTuple):
    """An operator that scales and shifts the channels of `source`, by numbers or by arrays."""

    source: Entry
    scale: Any
    shift: Any


def fold_scalings(graph: Graph) -> int:
    """Fold BatchNorm, and other constant scales and shifts, into the operators before them.

    One is folded if nothing else reads what it scales, and if the operator before it is a
    convolution, a transposed convolution or a dense layer with constant parameters.

    Returns
    -------
    int
        How many were folded.
    """
    folded = 0
    readers = graph.readers()
    for node in graph.nodes():
        scaling = _scaling(graph, node)
        if scaling is None:
            continue
        linear = scaling.source.node
        alone = linear.operator in LINEAR and len(readers[linear]) == 1
        if alone and _fold(graph, linear, scaling.scale, scaling.shift):
            graph.replace(Entry(node), scaling.source)
            readers[linear] = readers[node]
            folded += 1
    graph.prune_values()
    return folded


def _scaling(graph: Graph, node: Node) -> Optional[Scaling]:
    """Return what a node does as a `Scaling`, or None."""
    with np.errstate(all="ignore"):  # what isn't finite isn't folded
        if node.operator == "BatchNorm":
            return _batch_norm(graph, node)
        if node.operator in WITH_NUMBER:
            number = float(node.attributes.get("scalar", 1))
            return Scaling(node.inputs[0], *WITH_NUMBER[node.operator](number))
        if node.operator in WITH_ARRAY:
            x, array = node.inputs
            if node.operator in SYMMETRIC and graph.value(x) is not None:
                x, array = array, x
            value = graph.value(array)
            if value is not None and _keeps_kind(graph, x.node, value):
                return Scaling(x, *WITH_ARRAY[node.operator](_in_float64(value)))
    return None


def _keeps_kind(graph: Graph, linear: Node, array: nd.NDArray) -> bool:
    """Return whether what a linear operator computes keeps rank and dtype beside an array."""
    weight = graph.value(linear.inputs[1]) if linear.operator in LINEAR else None
    if weight is None:
        return False
    return bool(array.dtype == weight.dtype) and array.ndim <= _rank(linear, weight)


def _rank(linear: Node, weight: nd.NDArray) -> int:
    return 2 if linear.operator == "FullyConnected" else int(weight.ndim)


def _batch_norm(graph: Graph, node: Node) -> Optional[Scaling]:
    x, *statistics = node.inputs
    values = [graph.value(entry) for entry in statistics]
    if any(value is None for value in values) or node.attributes.get("axis", "1") != "1":
        return None
    gamma, beta, mean, variance = map(_in_float64, values)
    if parse_op_attr(node.attributes.get("fix_gamma", "True")) in (True, 1):
        gamma = np.ones_like(gamma)
    scale = gamma / np.sqrt(variance + float(node.attributes.get("eps", 1e-3)))
    return Scaling(x, _along_channels(scale), _along_channels(beta - mean * scale))


def _fold(graph: Graph, linear: Node, scale: Any, shift: Any) -> bool:
    """Scale and shift what a linear operator computes, if its parameters can express it."""
    attributes = linear.attributes
    weight = graph.value(linear.inputs[1])
    without_bias = len(linear.inputs) < 3  # the default of no_bias depends on the operator
    bias = None if without_bias else graph.value(linear.inputs[2])
    if weight is None or (bias is None and not without_bias):
        return False
    if np.dtype(weight.dtype).name not in FLOATS or not _channels_on_axis_1(linear):
        return False
    channels = int(attributes.get("num_filter", attributes.get("num_hidden", 0)))
    rank = _rank(linear, weight)
    scales, shifts = (_per_channel(values, channels, rank) for values in (scale, shift))
    if scales is None or shifts is None:
        return False
    old = np.zeros(channels) if bias is None else _in_float64(bias)
    groups = int(attributes.get("num_group", 1)) if linear.operator == "Deconvolution" else 0
    with np.errstate(all="ignore"):
        new_weight = _scaled(weight.asnumpy(), scales, groups)
        new_bias = (old * scales + shifts).astype(weight.dtype)
    if not (np.isfinite(new_weight).all() and np.isfinite(new_bias).all()):
        return False
    for i, (name, value) in enumerate((("weight", new_weight), ("bias", new_bias)), start=1):
        array = nd.array(value, ctx=weight.context, dtype=value.dtype)
        linear.inputs[i:] = [graph.constant(f"{linear.name}_{name}_folded", array)] + linear.inputs[
            i + 1 :
        ]
    attributes["no_bias"] = "False"
    return True


def _channels_on_axis_1(linear: Node) -> bool:
    """Return whether an operator's output channels are on axis 1, as they are by default."""
    if linear.operator == "FullyConnected":
        return parse_op_attr(linear.attributes.get("flatten", "True")) in (True, 1)
    return linear.attributes.get("layout", "None") in ("None", "NCW", "NCHW", "NCDHW")


def _scaled(weight: Any, scale: Any, groups: int) -> Any:
    """Return a weight times one scale per output channel, multiplied in float64.

    The weight of a transposed convolution, which has `groups`, is (c_i, c_o / groups, ...): each
    group of input channels has its own output channels.
    """
    if not groups:
        return _product(weight, scale.reshape((-1, *[1] * (weight.ndim - 1))))
    c_i, c_o = weight.shape[:2]
    grouped = weight.reshape((groups, c_i // groups, *weight.shape[1:]))
    scale = scale.reshape((groups, 1, c_o, *[1] * (weight.ndim - 2)))
    return _product(grouped, scale).reshape(weight.shape)


def _product(weight: Any, scale: Any) -> Any:
    """Return a product of the weight's dtype, without a copy of a large weight in float64."""
    product = np.empty_like(weight)
    return np.multiply(weight, scale, product, dtype=np.float64, casting="same_kind")


def _along_channels(values: Any) -> Any:
    """Return one value per channel in a shape that broadcasts along axis 1 of any rank up to 5."""
    return values.reshape((1, -1, 1, 1, 1))


def _per_channel(values: Any, channels: int, rank: int) -> Any:
    """Return the value of each channel, or None if values differ within a channel.

    `values` is a number, or an array that broadcasts to an output of this rank.
    """
    values = np.asarray(values)
    if values.size > 1:
        shape = (1,) * (rank - values.ndim) + values.shape
        if shape != (1, channels) + (1,) * (len(shape) - 2):
            return None
    return np.broadcast_to(values.reshape(-1), (channels,))


def _in_float64(array: nd.NDArray) -> Any:
    return array.asnumpy().astype("float64")

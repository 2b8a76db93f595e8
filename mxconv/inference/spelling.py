"""Passes: activations and biases in the spelling that MXNet computes fastest."""

from typing import Any, Dict

import numpy as np
from mxnet import nd

from ..geometry import parse_op_attr
from .convolutions import activation_behind
from .graph import Entry, Graph, Node

LANES = 8  # channels that oneDNN's depthwise kernels compute side by side
FLOATS = ("float16", "float32", "float64")  # of what `Activation` computes
PLAIN = {  # how `Activation` calls what they compute
    "relu": "relu",
    "_npx_relu": "relu",
    "sigmoid": "sigmoid",
    "_npx_sigmoid": "sigmoid",
    "tanh": "tanh",
    "_npi_tanh": "tanh",
}


def spell_activations(graph: Graph) -> int:
    """Write activations as the operators that MXNet computes fastest.

    - relu, sigmoid and tanh become `Activation`, which oneDNN computes in its own memory layout.
    - clip(x + b, 0, c) / c becomes `hard_sigmoid`: one pass over memory instead of three.
    - Another clip from 0 becomes ReLU and a minimum, unless it is right behind a convolution and
      may be fused with it. Its own code branches on each element, which takes several times as long
      where signs vary.

    Returns
    -------
    int
        How many were rewritten.
    """
    spelled, dtypes = 0, graph.dtypes()
    for node in graph.operators(*PLAIN):
        if _is_float(node, dtypes):
            node.attributes = {"act_type": PLAIN[node.operator]}
            node.operator = "Activation"
            spelled += 1
    return spelled + _spell_hard_sigmoids(graph, dtypes) + spell_clips(graph, fusing=True)


def spell_clips(graph: Graph, fusing: bool) -> int:
    """Write clips from 0 to a number as ReLU and a minimum.

    Parameters
    ----------
    graph : Graph
    fusing : bool
        Whether those right behind a convolution stay, to be fused with it.

    Returns
    -------
    int
        How many were rewritten.
    """
    readers, dtypes = graph.readers(), graph.dtypes()
    kept = {activation_behind(readers, node) for node in graph.operators("Convolution")}
    spelled = 0
    for node in graph.operators("clip"):
        low, high = _bounds(node)
        if low == 0 <= high and _is_float(node, dtypes) and not (fusing and node in kept):
            relu = Node("Activation", f"{node.name}_relu", node.inputs, {"act_type": "relu"})
            node.operator, node.attributes = "_minimum_scalar", {"scalar": str(high)}
            node.inputs = [Entry(relu)]
            spelled += 1
    return spelled


def spell_biases(graph: Graph) -> int:
    """Write the bias of transposed convolutions as a depthwise 1x1 convolution behind them.

    MXNet adds it in code of its own, which takes longer than the sums. A depthwise convolution
    whose kernels are 1 adds it fast, and its output is in oneDNN's memory layout: without that a
    concatenation with other such outputs is slow, and so is the convolution behind it.

    Returns
    -------
    int
        How many were rewritten.
    """
    spelled = 0
    for node in graph.operators("Deconvolution"):
        attributes = node.attributes
        bias = graph.value(node.inputs[2]) if len(node.inputs) > 2 else None
        is_2d = len(parse_op_attr(attributes["kernel"])) == 2
        if bias is None or not is_2d or bias.dtype != np.float32 or bias.size < LANES:
            continue
        if attributes.get("layout", "None") not in ("None", "NCHW"):
            continue
        ones = nd.ones((bias.size, 1, 1, 1), bias.context)
        kernel = graph.constant(f"{node.name}_ones", ones)
        geometry = {"kernel": (1, 1), "num_filter": bias.size, "num_group": bias.size}
        added = Node("Convolution", f"{node.name}_bias", (), geometry)
        graph.replace(Entry(node), Entry(added))
        added.inputs = [Entry(node), kernel, node.inputs[2]]
        node.inputs = node.inputs[:2]
        attributes["no_bias"] = "True"
        spelled += 1
    return spelled


def _spell_hard_sigmoids(graph: Graph, dtypes: Dict[Entry, Any]) -> int:
    readers, spelled = graph.readers(), 0
    for node in graph.operators("_div_scalar", "_mul_scalar"):
        clip = node.inputs[0].node
        if clip.operator != "clip" or len(readers[clip]) > 1 or not _is_float(clip, dtypes):
            continue
        low, high = _bounds(clip)
        factor = _scalar(node) if node.operator == "_mul_scalar" else 1 / (_scalar(node) or 1)
        if low != 0 or high <= 0 or abs(factor * high - 1) > 1e-6:
            continue
        shift, source = 0.0, clip.inputs[0]
        if source.node.operator == "_plus_scalar":
            shift, source = _scalar(source.node), source.node.inputs[0]
        node.operator, node.inputs = "hard_sigmoid", [source]
        node.attributes = {"alpha": repr(1 / high), "beta": repr(shift / high)}
        spelled += 1
    return spelled


def _is_float(node: Node, dtypes: Dict[Entry, Any]) -> bool:
    dtype = dtypes[node.inputs[0]]
    return dtype is not None and np.dtype(dtype).name in FLOATS


def _bounds(clip: Node) -> Any:
    return tuple(float(parse_op_attr(clip.attributes[name])) for name in ("a_min", "a_max"))


def _scalar(node: Node) -> float:
    return float(node.attributes.get("scalar", 1))

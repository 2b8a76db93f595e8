"""A pass: two convolutions in a row become one where that takes fewer products.

This is the chapter's first exercise at work; `mxconv.exercises.merge_convolutions` explains it. The
merged parameters are computed in float64.
"""

from dataclasses import replace
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np

from ..exercises.composition import merge_parameters
from ..exercises.cost import count_cost
from ..geometry import ConvGeometry
from .convolutions import geometry_of
from .graph import Entry, Graph, Node, Shape


def merge_in_graph(graph: Graph, input_shapes: Mapping[str, Shape]) -> int:
    """Merge a convolution into the one that reads it, as long as that saves multiplications.

    Nothing else may read the first, nothing may stand between them, and the second must not pad
    what the first computes. There is one kind of padding that can move to the input: zeros around
    the output of a 1x1 convolution without a bias.

    Returns
    -------
    int
        How many were merged.
    """
    merged = 0
    while _merge_one(graph, graph.shapes(input_shapes)):
        merged += 1
    return merged


def _merge_one(graph: Graph, shapes: Dict[Entry, Shape]) -> bool:
    readers = graph.readers()
    for second in graph.operators("Convolution"):
        first = second.inputs[0].node
        if first.operator != "Convolution" or len(readers[first]) > 1:
            continue
        g1, g2 = (geometry_of(graph, node, shapes[node.inputs[0]]) for node in (first, second))
        if g1 is None or g2 is None:
            continue
        merged = _merged_geometry(g1, g2, has_bias=len(first.inputs) > 2)
        if (
            merged
            and _saves(merged, g1, g2, shapes[first.inputs[0]], shapes[second.inputs[0]])
            and _merge(graph, first, second, g1, g2, merged)
        ):
            return True
    return False


def _merged_geometry(g1: ConvGeometry, g2: ConvGeometry, has_bias: bool) -> Optional[ConvGeometry]:
    """Return the geometry of one convolution that equals two, or None if there is none."""
    padding: Any = g1.padding
    if g2.padding != (0, 0):
        if not g1.pointwise or g1.padding != (0, 0) or has_bias:
            return None
        padding = tuple(p * s for (p, _), s in zip(g2.pads, g1.strides))
    windows = zip(g1.dilated_kernel_size, g1.strides, g2.dilated_kernel_size)
    k_h, k_w = (w1 + s1 * (w2 - 1) for w1, s1, w2 in windows)
    s_h, s_w = (s1 * s2 for s1, s2 in zip(g1.strides, g2.strides))
    return replace(
        g1,
        channels=g2.channels,
        kernel_size=(k_h, k_w),
        strides=(s_h, s_w),
        padding=padding,
        dilation=(1, 1),
        groups=1,
    )


def _saves(
    merged: ConvGeometry, g1: ConvGeometry, g2: ConvGeometry, shape_1: Shape, shape_2: Shape
) -> bool:
    """Return whether a merged convolution needs fewer multiplications than the two."""
    one, first, second = (
        count_cost(geometry, shape).forward.multiplications
        for geometry, shape in ((merged, shape_1), (g1, shape_1), (g2, shape_2))
    )
    return bool(one < first + second)


def _merge(
    graph: Graph,
    first: Node,
    second: Node,
    g1: ConvGeometry,
    g2: ConvGeometry,
    merged: ConvGeometry,
) -> bool:
    """Merge two convolutions, unless their merged parameters overflow."""
    dtype = graph.values[first.inputs[1].node.name].dtype
    parameters = _in_float64(graph, first), _in_float64(graph, second)
    weight, bias = merge_parameters(*parameters, g1, replace(g2, padding=(0, 0)))
    found = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    new = {name: value.astype(dtype) for name, value in found.items()}
    if not all(np.isfinite(value.asnumpy()).all() for value in new.values()):
        return False
    second.inputs = [first.inputs[0]]
    for name, value in new.items():
        second.inputs.append(graph.constant(f"{second.name}_{name}_merged", value))
    second.attributes = {
        **second.attributes,
        **{key: str(value) for key, value in merged.op_attrs.items()},
        "no_bias": str(bias is None),
    }
    return True


def _in_float64(graph: Graph, node: Node) -> Tuple[Any, Any]:
    """Return the weight and the bias of a convolution, or None for the bias."""
    arrays = [graph.values[entry.node.name].astype(np.float64) for entry in node.inputs[1:]]
    return arrays[0], arrays[1] if len(arrays) > 1 else None

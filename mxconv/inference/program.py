"""Running a graph: MXNet's cached operator with its parameters at hand."""

import json
from typing import Any, List, Mapping, Sequence

from mxnet import nd, sym

from .. import dtypes
from .graph import Entry, Graph

LOOPS = {"_foreach", "_while_loop", "_cond"}
STATIC = [("static_alloc", True), ("static_shape", True)]


class Program:
    """A Symbol with its parameters, ready to run.

    Parameters
    ----------
    symbol : Symbol
    values : dict of str to NDArray
        The arrays of its parameters, by name; there may be others.
    inputs : sequence of str
        The names of its inputs, in the order in which calls pass them.
    """

    def __init__(
        self, symbol: sym.Symbol, values: Mapping[str, nd.NDArray], inputs: Sequence[str] = ()
    ) -> None:
        names = symbol.list_inputs()
        self._positions = [
            (inputs.index(name), i) for i, name in enumerate(names) if name in inputs
        ]
        self._arguments = [None if name in inputs else values[name] for name in names]
        self._run = nd.CachedOp(symbol, [*_kinds(symbol, names, inputs), *STATIC])
        # A parameter as an output would be the array itself, which a caller may write to.
        self._own = [i for i, name in enumerate(symbol.list_outputs()) if name in names]

    def __call__(self, *arrays: nd.NDArray) -> List[nd.NDArray]:
        """Return the outputs for arrays that are known to fit."""
        arguments = self._arguments.copy()  # several threads may call
        for source, target in self._positions:
            arguments[target] = arrays[source]
        outputs = self._run(*arguments)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        for i in self._own:
            outputs[i] = outputs[i].copy()
        return outputs


def _kinds(symbol: sym.Symbol, names: Sequence[str], inputs: Sequence[str]) -> List[Any]:
    """Return flags that tell MXNet which arrays stay, so that it sets up their readers only once.

    A loop over parameters would read arrays that it has freed, so there a graph goes without.
    """
    if not LOOPS.isdisjoint(node["op"] for node in json.loads(symbol.tojson())["nodes"]):
        return []
    data = [i for i, name in enumerate(names) if name in inputs]
    parameters = [i for i, name in enumerate(names) if name not in inputs]
    return [("data_indices", data), ("param_indices", parameters)]


def evaluate(graph: Graph, entries: Sequence[Entry]) -> List[nd.NDArray]:
    """Return the values of entries that depend on parameters only.

    They are copies: oneDNN can't keep its own layout of a view, and would convert it at every call.
    """
    symbol = graph.symbol(entries)
    values = {name: plain_copy(graph.values[name]) for name in symbol.list_inputs()}
    return [value.copy() for value in Program(symbol, values)()]


def plain_copy(value: nd.NDArray) -> nd.NDArray:
    """Return a copy of a parameter in MXNet's plain memory layout.

    A convolution that has run keeps its weight in blocks (see `_layouts`), as other copies would.
    """
    if value.dtype == dtypes.BFLOAT16:
        return value.copy()
    return nd.array(value.asnumpy(), value.context, value.dtype)

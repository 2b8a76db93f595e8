"""The graphs that Gluon traces of hybridized blocks: which are being traced, and tracing again.

A layer is part of the graph of every hybridized block above it, yet it doesn't know those blocks.
While one of them is being traced, however, it is on the call stack.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
)

from mxnet import Context, nd, np
from mxnet.gluon import Block, HybridBlock
from mxnet.util import is_np_array, is_np_shape, set_np

from . import _gluon


@dataclass(frozen=True)
class Like:
    """What a graph depends on of an array that a block was called with."""

    kind: type
    shape: Tuple[int, ...]
    dtype: Any
    context: Context


@dataclass(frozen=True)
class Call:
    """The call that a block was traced for.

    Attributes
    ----------
    arguments : list
        A `Like` for each array; nested as the arguments were.
    arrays, shapes : bool
        Whether MXNet was using NumPy's arrays, and its shapes.
    """

    arguments: List[Any]
    arrays: bool
    shapes: bool


def being_traced() -> Iterator[Tuple[HybridBlock, Call]]:
    """Yield each block that is being traced, with its `Call`."""
    for names in _gluon.traces():
        arguments = _map_nested(_like, names["args"])
        yield names["self"], Call(arguments, is_np_array(), is_np_shape())


def block_being_traced() -> Optional[HybridBlock]:
    """Return the block that is being traced, the innermost one if there are several, or None."""
    return next((names["self"] for names in _gluon.traces()), None)


def current_trace() -> Any:
    """Return an object that is the same throughout a trace of a block, or None."""
    return next((names["symbol_inputs"] for names in _gluon.traces()), None)


def inputs() -> Dict[str, nd.NDArray]:
    """Return the inputs of the block being traced, by the names of its Symbols."""
    for names in _gluon.traces():
        arrays = [argument for argument in names["flatten_args"] if argument is not None]
        return {
            symbol.name: array
            for symbol, array in zip(names["symbol_inputs"], arrays)
            if isinstance(array, nd.NDArray)
        }
    return {}


def trace_again(calls: Mapping[HybridBlock, Call]) -> None:
    """Trace blocks that have a graph again, {block: its `Call`}, so that `export` still finds one.

    If that fails, the block is left without a graph, and its next call raises the error.
    """
    for block, call in calls.items():
        if _gluon.graph_symbol(block) is not None:
            _gluon.drop_graph(block)
            try:
                with _numpy_mode(call.shapes, call.arrays):
                    _gluon.build_graph(block, _map_nested(_empty, call.arguments))
            except Exception:  # a network may raise anything, and not by this caller's mistake
                _gluon.drop_graph(block)


def drop_graphs(blocks: Iterable[HybridBlock]) -> None:
    """Drop the graphs of blocks, so that their next calls trace them anew."""
    for block in blocks:
        _gluon.drop_graph(block)


def drop_graphs_above(block: Block, changed: Collection[Block]) -> bool:
    """Drop the graphs of changed layers and of all blocks above them, from `block` downward.

    Returns
    -------
    bool
        Whether `block` is one of them.
    """
    below = [drop_graphs_above(child, changed) for child in _gluon.children(block).values()]
    stale = any(below) or block in changed
    if stale and isinstance(block, HybridBlock):
        _gluon.drop_graph(block)
    return stale


@contextmanager
def _numpy_mode(shapes: bool, arrays: bool) -> Iterator[None]:
    """Switch NumPy's semantics of shapes and of arrays on or off for a while."""
    before = is_np_shape(), is_np_array()
    set_np(shapes, arrays)
    try:
        yield
    finally:
        set_np(*before)


def _like(argument: Any) -> Any:
    """Return a `Like` of an array, or a Symbol itself, which a block can be optimized for."""
    if not isinstance(argument, nd.NDArray):
        return argument
    return Like(type(argument), argument.shape, argument.dtype, argument.context)


def _empty(like: Any) -> Any:
    """Return an array that fits a `Like`; MXNet allocates its memory only when it is written to."""
    if not isinstance(like, Like):
        return like
    empty = np.empty if like.kind is np.ndarray else nd.empty
    return empty(like.shape, ctx=like.context, dtype=like.dtype)


def _map_nested(function: Callable[[Any], Any], arguments: Any) -> Any:
    """Apply a function to the items of nested lists and tuples, except to None."""
    if isinstance(arguments, (list, tuple)):
        return [_map_nested(function, argument) for argument in arguments]
    return None if arguments is None else function(arguments)

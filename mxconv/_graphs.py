"""The graphs that Gluon traces of hybridized blocks: which are being traced, and tracing again.

A layer takes part in the graph of every hybridized block above it, and doesn't know those blocks.
While one is traced, though, it stands on the call stack. MXNet 1.9.1 is the last release, so the
names in its `HybridBlock._get_graph` and what a block keeps in private can be relied on.
"""

import sys
from contextlib import contextmanager
from dataclasses import dataclass

from mxnet import nd, np
from mxnet.gluon import HybridBlock
from mxnet.util import is_np_array, is_np_shape, set_np

TRACE = HybridBlock._get_graph.__code__


@dataclass(frozen=True)
class Like:
    """What a graph knows of an array that a block was called with."""

    kind: type
    shape: tuple
    dtype: object
    context: object


@dataclass(frozen=True)
class Call:
    """The call that a block was traced for: what its arguments are like, and NumPy's modes."""

    arguments: list
    arrays: bool
    shapes: bool


def being_traced():
    """Each block that is being traced, with its `Call`."""
    for names in _traces():
        arguments = _each(_like, names["args"])
        yield names["self"], Call(arguments, is_np_array(), is_np_shape())


def input_shapes():
    """The shapes of what the block being traced was called with, by its Symbols' names."""
    for names in _traces():
        arrays = [argument for argument in names["flatten_args"] if argument is not None]
        return {
            symbol.name: array.shape
            for symbol, array in zip(names["symbol_inputs"], arrays)
            if isinstance(array, nd.NDArray)
        }
    return {}


def trace_again(calls):
    """Trace blocks that have a graph once more, {block: its `Call`}.

    So `export` still finds one. Where that can't be done now, the next call says why.
    """
    for block, call in calls.items():
        if block._cached_graph:
            block._clear_cached_op()
            try:
                with _numpy_mode(call.shapes, call.arrays):
                    block._build_cache(*_each(_empty, call.arguments))
            except Exception:  # whatever a network raises; it isn't this caller's mistake
                block._clear_cached_op()


def drop(blocks):
    """Forget the graphs of blocks, so that their next call traces."""
    for block in blocks:
        block._clear_cached_op()


@contextmanager
def _numpy_mode(shapes, arrays):
    """Have NumPy's semantics for shapes, and for arrays, or not."""
    before = is_np_shape(), is_np_array()
    set_np(shapes, arrays)
    try:
        yield
    finally:
        set_np(*before)


def _traces():
    """The names inside each `_get_graph` on the call stack, the innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is TRACE:
            yield frame.f_locals
        frame = frame.f_back


def _like(array):
    """A `Like`; a Symbol, which a block can be optimized for, stays itself."""
    if not isinstance(array, nd.NDArray):
        return array
    return Like(type(array), array.shape, array.dtype, array.context)


def _empty(like):
    """An array like one that there was. MXNet allocates it only when it is written to."""
    if not isinstance(like, Like):
        return like
    empty = np.empty if like.kind is np.ndarray else nd.empty
    return empty(like.shape, ctx=like.context, dtype=like.dtype)


def _each(change, arguments):
    """Nested lists and tuples of arguments with `change` done to each but None."""
    if isinstance(arguments, (list, tuple)):
        return [_each(change, argument) for argument in arguments]
    return None if arguments is None else change(arguments)

"""The graphs that Gluon traces of hybridized blocks: which are being traced, and tracing again.

A layer takes part in the graph of every hybridized block above it, and doesn't know those blocks.
While one is traced, though, it stands on the call stack. MXNet 1.9.1 is the last release, so the
names in its `HybridBlock._get_graph` and what a block keeps in private can be relied on.
"""

import sys
from typing import NamedTuple

from mxnet import nd, np
from mxnet.gluon import HybridBlock

TRACE = HybridBlock._get_graph.__code__


class Like(NamedTuple):
    """What a graph knows of an array that a block was called with."""

    kind: type
    shape: tuple
    dtype: object
    context: object

    def empty(self):
        """An array like it. MXNet allocates one only when it is written to."""
        empty = np.empty if self.kind is np.ndarray else nd.empty
        return empty(self.shape, ctx=self.context, dtype=self.dtype)


def being_traced():
    """Each block that is being traced, and what is like the arguments that it was called with."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is TRACE:
            yield frame.f_locals["self"], _each(_like, frame.f_locals["args"])
        frame = frame.f_back


def input_shapes():
    """The shapes of what the block being traced was called with, by its Symbols' names."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not TRACE:
        frame = frame.f_back
    if frame is None:
        return {}
    arrays = [argument for argument in frame.f_locals["flatten_args"] if argument is not None]
    return {
        symbol.name: array.shape
        for symbol, array in zip(frame.f_locals["symbol_inputs"], arrays)
        if isinstance(array, nd.NDArray)
    }


def trace_again(blocks):
    """Trace blocks that have a graph once more, {block: what its arguments are like}.

    So `export` still finds one. Where that can't be done now, the next call says why.
    """
    for block, arguments in blocks.items():
        if block._cached_graph:
            block._clear_cached_op()
            try:
                block._build_cache(*_each(Like.empty, arguments))
            except Exception:  # whatever a network raises; it isn't this caller's mistake
                block._clear_cached_op()


def _like(array):
    return Like(type(array), array.shape, array.dtype, array.context)


def _each(change, arguments):
    """Nested lists and tuples of arguments with `change` done to each but None."""
    if type(arguments) in (list, tuple):
        return [_each(change, argument) for argument in arguments]
    return None if arguments is None else change(arguments)

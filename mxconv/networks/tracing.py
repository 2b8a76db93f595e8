"""What a network makes of Symbols: its graph, in which our layers are MXNet's own operator."""

from contextlib import contextmanager
from typing import Any, Callable, Collection, Dict, Iterator, List, Sequence, Tuple, Type, Union

from mxnet import sym
from mxnet.gluon import Block, HybridBlock
from mxnet.util import is_np_array

from .. import _gluon
from .traversal import all_blocks, mxconv_layers


@contextmanager
def force_native(net: Block) -> Iterator[None]:
    """Run and trace every layer as MXNet's operator instead of its algorithm's steps."""
    before = {layer: layer.native_only for layer in mxconv_layers(net)}  # it may be nested
    try:
        for layer in before:
            layer.native_only = True
        yield
    finally:
        for layer, native_only in before.items():
            layer.native_only = native_only


@contextmanager
def eager(net: Block) -> Iterator[None]:
    """Keep every block from running its cached graph, inside of which hooks aren't called."""
    blocks: Collection[Block] = [b for b in all_blocks(net) if isinstance(b, HybridBlock)]
    before = {block: _gluon.is_hybridized(block) for block in blocks}
    try:
        for block in blocks:
            _gluon.set_hybridized(block, False)
        yield
    finally:
        for block, active in before.items():
            _gluon.set_hybridized(block, active)


def trace_symbol(net: Block, call: Callable[..., Any], shapes: Sequence[Any]) -> Any:
    """Return what `call`, the network or its `forward`, makes of Symbols, as one Symbol.

    Layers appear in it as the operator `Convolution`.

    Parameters
    ----------
    net : gluon.Block
        The network.
    call : callable
        What to call.
    shapes : tuple
        The shapes of its arguments, from `_checks.input_shapes`. The Symbols get the names of
        `named_shapes`.

    Raises
    ------
    TypeError
        If Symbols can't pass through the network.
    """
    names = iter(named_shapes(shapes))

    def symbols(shapes: Any) -> Any:
        if isinstance(shapes, list):
            return [symbols(item) for item in shapes]
        data = sym.var(next(names))
        return data.as_np_ndarray() if is_np_array() else data

    with force_native(net), _gluon.iterable_outputs(net):
        try:
            outputs = call(*symbols(list(shapes)))
            return sym.Group([output.as_nd_ndarray() for output in flatten(outputs)])
        except Exception as error:  # anything that a block raises when it expected an array
            inputs = "one input" if len(shapes) == 1 else f"{len(shapes)} inputs"
            given = shapes[0] if len(shapes) == 1 else shapes
            raise TypeError(
                f"expected a network with {inputs} that can be hybridized, received a "
                f"{type(net).__name__} that fails on a Symbol: {error}, for input_shape={given}"
            ) from error


def forward_of(net: HybridBlock) -> Callable[..., Any]:
    """Return what to trace of a network: its `forward`, without its own hooks, as Gluon does.

    The layers of `gluon.rnn` are called, because that gives them their first states.
    """
    return net if _gluon.makes_its_states(net) else net.forward


def named_shapes(shapes: Sequence[Any]) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of a network's inputs by the names that Gluon gives these.

    The name is 'data', or 'data0', 'data1' and so on if there are several inputs.
    """
    leaves = flatten(list(shapes), kinds=list)
    if len(leaves) == 1:
        return {"data": leaves[0]}
    return {f"data{i}": shape for i, shape in enumerate(leaves)}


def flatten(
    items: Any, kinds: Union[Type[Any], Tuple[Type[Any], ...]] = (list, tuple)
) -> List[Any]:
    """Return the items of nested lists and tuples in order."""
    if isinstance(items, kinds):
        return [item for part in items for item in flatten(part, kinds)]
    return [items]

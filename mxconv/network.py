"""Whole networks: every `nn.Conv2D` becomes a `MultiChannelConv2D`, and back.

A layer changes its class and stays the same object. So it keeps its Parameters, its names, hooks
and hybridization, and whoever holds it, a parent, a list or a second place in the network, holds
the changed one.
"""

import re
import warnings
from contextlib import contextmanager

from mxnet import sym
from mxnet.gluon import Block, HybridBlock, SymbolBlock, nn
from mxnet.util import is_np_array

from . import _checks
from .algorithms import unsupported
from .geometry import ConvGeometry
from .layer import NAMES, OWN, MultiChannelConv2D, ask, geometry_of, reshape


def convert(net, algorithm="auto"):
    """Make every `nn.Conv2D` of a network a `MultiChannelConv2D`, in place.

    Parameters, names, values and files stay what they are, and so does a Trainer that has them. It
    can be done before initialization, with input channels still unknown, after `hybridize` and
    after training. Layers that are a `MultiChannelConv2D` already are left as they are.

    Left alone, and named in one warning, is what mxconv can't stand in for: a class of your own
    derived from `nn.Conv2D`, a layer built with another operator or with arguments that mxconv
    refuses, and a `SymbolBlock` that convolves, which is a graph without layers. As everywhere in
    Gluon, layers in an attribute that is a list or dict are no part of the network.

    Parameters
    ----------
    net : gluon.Block
        A network, or a lone `nn.Conv2D`. Give the outermost block: one above it that is hybridized
        would go on with the graph that it has traced.
    algorithm : str
        As in `MultiChannelConv2D`; outputs with 'direct' are equal to the bit.

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        net isn't a Block.
    ValueError
        An unknown algorithm, or one that isn't for some of the layers. Nothing is changed then.

    Notes
    -----
    `save_parameters`, `load_parameters` and `export` have the same files before and after. Those of
    `Block.save` hold class names: `revert` the network to load one that was saved before.
    """
    _checks.choice("algorithm", algorithm, NAMES)
    geometries, obstacles = {}, {}
    for block in blocks(net):
        try:
            geometry = _geometry(block)
        except (TypeError, ValueError) as error:
            obstacles[block] = error
        else:
            if geometry is not None:
                geometries[block] = geometry
    _check_fit(algorithm, geometries)
    for layer, geometry in geometries.items():
        layer.__class__ = MultiChannelConv2D
        layer._stand_for(geometry, algorithm)
    _drop_graphs(net, geometries)
    if obstacles:
        warnings.warn(f"mxconv.convert left alone: {_listed(obstacles)}", stacklevel=2)
    return net


def revert(net):
    """Make every `MultiChannelConv2D` of a network an `nn.Conv2D`, in place.

    Parameters
    ----------
    net : gluon.Block
        A network, or a lone `MultiChannelConv2D`.

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        net isn't a Block.
    ValueError
        Layers that no `nn.Conv2D` equals, by name: with uneven padding, with padding of something
        else than zeros, or of a class derived from `MultiChannelConv2D`. Nothing is changed then.
    """
    layers = _ours(net)
    obstacles = {layer: oddity for layer in layers if (oddity := _oddity(layer))}
    if obstacles:
        raise ValueError(
            f"nn.Conv2D has no equal for: {_listed(obstacles)}; the network was left as it was"
        )
    for layer in layers:
        layer.__class__ = nn.Conv2D
        for name in OWN:
            layer.__dict__.pop(name, None)
    _drop_graphs(net, layers)
    return net


def set_algorithm(net, algorithm, where=None):
    """Ask every `MultiChannelConv2D` of a network, or some of them, for an algorithm.

    Graphs with a layer that changes are traced again, with the flags and the backend they have. A
    layer that then still waits for its input channels is traced as 'direct', so call the network
    once before.

    Parameters
    ----------
    net : gluon.Block
        A network, or a lone layer; as in `convert`, the outermost block.
    algorithm : str
        As in `MultiChannelConv2D`.
    where : None, str or callable
        Which layers: all, those whose whole name matches a regular expression, or those for which
        `where(layer)` is true.

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        net isn't a Block, or where none of the above.
    ValueError
        An unknown algorithm, a network without such layers, a choice of none of them, or layers
        that the algorithm isn't for. Nothing is changed then.

    Examples
    --------
    >>> net = nn.HybridSequential()
    >>> net.add(MultiChannelConv2D(8, 3), MultiChannelConv2D(4, 1))
    >>> net = set_algorithm(net, "matmul", where=lambda layer: layer.geometry.pointwise)
    >>> [layer.algorithm for layer in net]
    ['auto', 'matmul']
    """
    _checks.choice("algorithm", algorithm, NAMES)
    chosen = _picked(net, where)
    _check_fit(algorithm, chosen)
    ask(dict.fromkeys(chosen, algorithm))
    return net


def set_geometry(net, where=None, strides=None, padding=None, dilation=None):
    """Change strides, padding or dilation of every `MultiChannelConv2D` of a network, or of some.

    The weights stay as they are, and so do kernels, channels and groups. A backbone for
    segmentation keeps its resolution so: with strides of 1 where it had 2, and a dilation of 2 in
    the layers behind, it computes the same outputs and those between them.

    Parameters
    ----------
    net : gluon.Block
        A network, or a lone layer.
    where : None, str or callable
        Which layers, as in `set_algorithm`.
    strides, padding, dilation
        As in `MultiChannelConv2D`; None leaves what a layer has. 'same' is for the new dilation.

    Returns
    -------
    gluon.Block
        net. Graphs with a layer that has changed are traced again.

    Raises
    ------
    TypeError
        net isn't a Block, where none of the above, or a value that isn't an integer.
    ValueError
        A network without such layers, a choice of none of them, a value out of range, or layers
        whose algorithm isn't for their new geometry. Nothing is changed then.

    Examples
    --------
    >>> net = nn.HybridSequential()
    >>> net.add(MultiChannelConv2D(8, 3, strides=2, padding=1), MultiChannelConv2D(8, 3, padding=1))
    >>> net = set_geometry(net, where=lambda layer: layer is net[0], strides=1)
    >>> net = set_geometry(net, where=lambda layer: layer is net[1], padding="same", dilation=2)
    >>> [(layer.strides, layer.padding, layer.dilation) for layer in net]
    [((1, 1), (1, 1), (1, 1)), ((1, 1), (2, 2), (2, 2))]
    """
    given = dict(strides=strides, padding=padding, dilation=dilation)
    changes = {name: value for name, value in given.items() if value is not None}
    geometries = {}
    for layer in _picked(net, where):
        try:
            geometries[layer] = layer.changed(**changes)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{layer.name}: {error}; the network was left as it was") from error
    reshape(geometries)
    return net


@contextmanager
def as_direct(net):
    """Have every layer traced as MXNet's one operator, and not as the steps of its algorithm."""
    asked = {layer: layer._algorithm for layer in _ours(net)}
    try:
        for layer in asked:
            layer._algorithm = "direct"  # not by its setter, which traces graphs again
            layer._portable = True
        yield
    finally:
        for layer, algorithm in asked.items():
            layer._algorithm = algorithm
            del layer._portable


def graph_of(net, call, shapes):
    """What `call`, the network or its `forward`, makes of Symbols, in one Symbol.

    Layers are the operator `Convolution` in it. `shapes` are those of the arguments, as
    `_checks.input_shapes` gives them; the Symbols are named as in `named_shapes`.

    Raises
    ------
    TypeError
        A network that Symbols can't pass through.
    """
    names = iter(named_shapes(shapes))

    def symbols(shapes):
        if isinstance(shapes, list):
            return [symbols(item) for item in shapes]
        data = sym.var(next(names))
        return data.as_np_ndarray() if is_np_array() else data

    with as_direct(net):
        try:
            outputs = call(*symbols(list(shapes)))
            return sym.Group([output.as_nd_ndarray() for output in flat(outputs)])
        except Exception as error:  # whatever a block raises that expected an array
            inputs = "one input" if len(shapes) == 1 else f"{len(shapes)} inputs"
            given = shapes[0] if len(shapes) == 1 else shapes
            raise TypeError(
                f"expected a network of {inputs} that can be hybridized, received a "
                f"{type(net).__name__} that fails on a Symbol: {error}, for input_shape={given}"
            ) from error


def named_shapes(shapes):
    """The shapes of a network's inputs by the names that Gluon gives them.

    They are 'data' or, where there are several, 'data0', 'data1' and so on.
    """
    leaves = flat(list(shapes), kinds=list)
    if len(leaves) == 1:
        return {"data": leaves[0]}
    return {f"data{i}": shape for i, shape in enumerate(leaves)}


def flat(items, kinds=(list, tuple)):
    """The items of nested lists and tuples, in their order."""
    if isinstance(items, kinds):
        return [item for part in items for item in flat(part, kinds)]
    return [items]


def blocks(net):
    """Every block of a network once, itself among them."""
    _checks.instance("net", net, Block, "a mxnet.gluon.Block")
    blocks = []
    net.apply(blocks.append)
    return list(dict.fromkeys(blocks))


def layers_of(net):
    """Every `MultiChannelConv2D` of a network, which has to have one."""
    layers = _ours(net)
    if not layers:
        raise ValueError(
            f"expected a network with a MultiChannelConv2D, and there is none in {net.name!r}, "
            f"received a {type(net).__name__}: convert(net) makes them of nn.Conv2D; an exported "
            "network is a graph without layers"
        )
    return layers


def _ours(net):
    return [block for block in blocks(net) if isinstance(block, MultiChannelConv2D)]


def _geometry(block):
    """The `ConvGeometry` of an `nn.Conv2D`, or None for a block that has nothing to convert."""
    if isinstance(block, MultiChannelConv2D):
        return None
    if isinstance(block, SymbolBlock) and '"op": "Convolution"' in block._cached_graph[1].tojson():
        raise TypeError("a SymbolBlock, which is a graph without layers")
    if not isinstance(block, nn.Conv2D):
        return None
    if type(block) is not nn.Conv2D:
        raise TypeError(f"a {type(block).__name__}, derived from nn.Conv2D")
    if block._op_name.lower() != "convolution":  # spelled in small letters in NumPy mode
        raise ValueError(f"it was built with op_name={block._op_name!r}")
    return ConvGeometry.of_operator(block._kwargs)


def _oddity(layer):
    """What of a `MultiChannelConv2D` no `nn.Conv2D` has, or None."""
    geometry = layer.geometry
    if type(layer) is not MultiChannelConv2D:
        return f"a {type(layer).__name__}, derived from MultiChannelConv2D"
    if geometry.padded_apart:
        return f"padding={geometry.padding}, padding_mode={geometry.padding_mode!r}"
    return None


def _check_fit(algorithm, layers):
    """Refuse an algorithm that isn't for some layers, as far as their channels are known."""
    misfits = {}
    for layer in layers:
        core = geometry_of(layer).core
        if algorithm != "auto" and core.in_channels and unsupported(algorithm, core):
            misfits[layer] = unsupported(algorithm, core)
    if misfits:
        raise ValueError(
            f"algorithm={algorithm!r} isn't for {_listed(misfits)}; the network was left as it was"
        )


def _picked(net, where):
    """The layers of a network that `where` picks, one at least."""
    layers = layers_of(net)
    chosen = [layer for layer in layers if _picks(where, layer)]
    if not chosen:
        names = ", ".join(layer.name for layer in layers)
        raise ValueError(f"expected where to pick one of {names}, received where={where!r}")
    return chosen


def _picks(where, layer):
    if where is None:
        return True
    if callable(where):
        return where(layer)
    _checks.instance("where", where, str, "None, a regular expression or a callable")
    try:
        return re.fullmatch(where, layer.name)
    except re.error as error:
        raise ValueError(
            f"where is no regular expression: {error}, received where={where!r}"
        ) from error


def _listed(reasons):
    return "; ".join(f"{block.name} ({reason})" for block, reason in reasons.items())


def _drop_graphs(block, changed):
    """Drop the graphs of changed layers and of every block above one; say if `block` is such."""
    stale = any([_drop_graphs(child, changed) for child in block._children.values()])
    stale = stale or block in changed
    if stale and isinstance(block, HybridBlock):
        block._clear_cached_op()
    return stale

"""Converting whole networks: every `nn.Conv2D` to a `MultiChannelConv2D`, and back.

A layer changes its class and stays the same object. So it keeps its Parameters, names, hooks and
hybridization, and everything that holds it, such as a parent block, a list or a second place in the
network, holds the changed layer.
"""

import warnings
from typing import Dict, Optional

from mxnet.gluon import Block, SymbolBlock, nn

from .. import _checks, _gluon, _graphs
from ..algorithms import CHOICES
from ..geometry import ConvGeometry
from ..layer import MultiChannelConv2D
from .traversal import all_blocks, check_support, format_reasons, mxconv_layers


def convert(net: Block, algorithm: str = "auto") -> Block:
    """Turn every `nn.Conv2D` of a network into a `MultiChannelConv2D`, in place.

    Parameters, names, values and files stay the same, and a Trainer keeps working. A network can be
    converted before it is initialized, while input channels are unknown, after `hybridize`, and
    after training. Layers that already are a `MultiChannelConv2D` are left as they are.

    Blocks that can't be converted are left alone and listed in one warning: subclasses of
    `nn.Conv2D`, layers that were built with another operator or with arguments that mxconv rejects,
    and a `SymbolBlock` with a convolution, which is a graph without layers. As everywhere in Gluon,
    layers in a list or dict that is an attribute aren't part of the network.

    Parameters
    ----------
    net : gluon.Block
        A network or a lone `nn.Conv2D`. Pass the outermost block; a hybridized parent would keep
        its cached graph.
    algorithm : str
        As in `MultiChannelConv2D`. With 'native', outputs are equal to the bit.

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        If net isn't a Block.
    ValueError
        If the algorithm is unknown or doesn't support some of the layers. Nothing is changed then.

    See Also
    --------
    revert : The way back.
    choose_algorithms : Choose each layer's algorithm afterward.

    Notes
    -----
    `save_parameters`, `load_parameters` and `export` read and write the same files before and
    after. Files of `Block.save` hold class names: `revert` the network to load one that was saved
    before.

    Examples
    --------
    >>> net = nn.HybridSequential()
    >>> net.add(nn.Conv2D(8, 3), nn.Dense(2))
    >>> net = convert(net)
    >>> [type(block).__name__ for block in net]
    ['MultiChannelConv2D', 'Dense']
    """
    _checks.choice("algorithm", algorithm, CHOICES)
    geometries: Dict[Block, ConvGeometry] = {}
    obstacles: Dict[Block, Exception] = {}
    for block in all_blocks(net):
        try:
            geometry = _geometry(block)
        except (TypeError, ValueError) as error:
            obstacles[block] = error
        else:
            if geometry is not None:
                geometries[block] = geometry
    check_support(algorithm, geometries)
    for layer, geometry in geometries.items():
        MultiChannelConv2D.adopt(layer, geometry, algorithm)
    _graphs.drop_graphs_above(net, geometries)
    if obstacles:
        warnings.warn(f"mxconv.convert left alone: {format_reasons(obstacles)}", stacklevel=2)
    return net


def revert(net: Block) -> Block:
    """Turn every `MultiChannelConv2D` of a network into an `nn.Conv2D`, in place.

    Parameters
    ----------
    net : gluon.Block
        A network or a lone `MultiChannelConv2D`. Pass the outermost block, as for `convert`.

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        If net isn't a Block.
    ValueError
        If some layers have no equivalent `nn.Conv2D`: they have uneven padding or a padding mode
        other than 'zeros', or they are of a subclass. The error lists them, and nothing is changed.

    See Also
    --------
    convert : The way there.
    """
    layers = mxconv_layers(net)
    obstacles = {layer: reason for layer in layers if (reason := _why_not_revertible(layer))}
    if obstacles:
        raise ValueError(
            f"nn.Conv2D can't express {format_reasons(obstacles)}; the network was left as it was"
        )
    for layer in layers:
        layer.release()
    _graphs.drop_graphs_above(net, layers)
    return net


def _geometry(block: Block) -> Optional[ConvGeometry]:
    """Return the geometry of an `nn.Conv2D`, or None for a block with nothing to convert.

    Raises
    ------
    TypeError, ValueError
        If the block convolves but can't be converted.
    """
    if isinstance(block, MultiChannelConv2D):
        return None
    if isinstance(block, SymbolBlock) and _convolves(block):
        raise TypeError("a SymbolBlock, which is a graph without layers")
    if not isinstance(block, nn.Conv2D):
        return None
    if type(block) is not nn.Conv2D:
        raise TypeError(f"a {type(block).__name__}, derived from nn.Conv2D")
    operator = _gluon.operator_name(block)
    if operator.lower() != "convolution":  # NumPy mode spells it in lower case
        raise ValueError(f"it was built with op_name={operator!r}")
    return ConvGeometry.from_op_attrs(_gluon.operator_arguments(block))


def _why_not_revertible(layer: MultiChannelConv2D) -> Optional[str]:
    """Return why a layer can't become an `nn.Conv2D`, or None."""
    geometry = layer.geometry
    if type(layer) is not MultiChannelConv2D:
        return f"a {type(layer).__name__}, derived from MultiChannelConv2D"
    if geometry.needs_explicit_padding:
        return f"padding={geometry.padding}, padding_mode={geometry.padding_mode!r}"
    return None


def _convolves(block: SymbolBlock) -> bool:
    """Return whether the graph of a `SymbolBlock` has a convolution."""
    return '"op": "Convolution"' in _gluon.graph_symbol(block).tojson()

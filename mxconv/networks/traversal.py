"""The blocks and layers of a network, and selecting some of them."""

import re
from typing import Any, Callable, Iterable, List, Mapping, Union

from mxnet.gluon import Block, nn

from .. import _checks
from ..algorithms import unsupported
from ..layer import MultiChannelConv2D, geometry_of

MAX_NAMES = 5  # layers listed in an error

Where = Union[None, str, Callable[[MultiChannelConv2D], Any]]  # which layers, see `set_algorithm`


def all_blocks(net: Block) -> List[Block]:
    """Return every block of a network once, including the network itself."""
    _checks.instance("net", net, Block, "an mxnet.gluon.Block")
    blocks: List[Block] = []
    net.apply(blocks.append)
    return list(dict.fromkeys(blocks))


def mxconv_layers(net: Block) -> List[MultiChannelConv2D]:
    """Return every `MultiChannelConv2D` of a network."""
    return [block for block in all_blocks(net) if isinstance(block, MultiChannelConv2D)]


def require_mxconv_layers(net: Block) -> List[MultiChannelConv2D]:
    """Return every `MultiChannelConv2D` of a network, which must have at least one."""
    layers = mxconv_layers(net)
    if not layers:
        raise ValueError(
            "expected a network with a MultiChannelConv2D, received a "
            f"{type(net).__name__} named {net.name!r} that has none: convert(net) makes them from "
            "nn.Conv2D, and an exported network is a graph without layers"
        )
    return layers


def matching_layers(net: Block, where: Where) -> List[MultiChannelConv2D]:
    """Return the layers of a network that `where` selects, at least one."""
    layers = require_mxconv_layers(net)
    chosen = [layer for layer in layers if _matches(where, layer)]
    if not chosen:
        names = [layer.name for layer in layers]
        shown = ", ".join(names[:MAX_NAMES]) + ", ..." * (len(names) > MAX_NAMES)
        raise ValueError(
            "where selects no layer: expected a regular expression that matches the whole name of "
            f"one of {shown}, or a callable that returns true for one, received where={where!r}"
        )
    return chosen


def _matches(where: Where, layer: MultiChannelConv2D) -> bool:
    """Return whether `where` selects a layer."""
    if where is None:
        return True
    if callable(where) and not isinstance(where, Block):  # a layer is no question about layers
        return bool(where(layer))
    expected = "None, a regular expression or a callable such as lambda layer: layer is net[0]"
    _checks.instance("where", where, str, expected)
    try:
        return re.fullmatch(where, layer.name) is not None
    except re.error as error:
        raise ValueError(
            f"where is not a valid regular expression: {error}, received where={where!r}"
        ) from error


def format_reasons(reasons: Mapping[Block, Any]) -> str:
    """Return blocks, each with a reason, as text."""
    return "; ".join(f"{block.name} ({reason})" for block, reason in reasons.items())


def check_support(algorithm: str, layers: Iterable[nn.Conv2D]) -> None:
    """Reject an algorithm that doesn't support some layers, as far as their channels are known."""
    misfits = {}
    for layer in layers:
        geometry = geometry_of(layer).normalized
        if algorithm != "auto" and geometry.in_channels and unsupported(algorithm, geometry):
            misfits[layer] = unsupported(algorithm, geometry)
    if misfits:
        raise ValueError(
            f"algorithm={algorithm!r} doesn't support {format_reasons(misfits)}; the network was "
            "left as it was"
        )

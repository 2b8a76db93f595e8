"""The only module that sets an algorithm or a geometry on layers; it retraces stale graphs."""

from threading import RLock
from typing import Any, Dict, Iterable, Mapping, Tuple

from .. import _graphs
from ..algorithms import checked
from ..geometry import ConvGeometry

Layer = Any  # a MultiChannelConv2D, whose module imports this one

# Guards one-time setup of layers and cached graphs, which MXNet can't run from two threads.
GRAPH_LOCK = RLock()


def assign(choices: Mapping[Layer, str]) -> None:
    """Request algorithms from layers, {layer: name}, and retrace what has changed.

    All names are checked before any is set. A layer that has this request already is left alone,
    including what 'auto' has chosen for it.
    """
    for layer, name in choices.items():
        checked(name, layer.geometry)
    with GRAPH_LOCK:
        choices = {layer: name for layer, name in choices.items() if name != layer.algorithm}
        before = {layer: layer.chosen_algorithm for layer in choices}
        for layer, name in choices.items():
            layer.ask_for(name)
        trace_again(layer for layer in choices if layer.chosen_algorithm != before[layer])


def choose(inputs: Mapping[Layer, Tuple[Tuple[int, ...], Any, Any]]) -> None:
    """Make layers with 'auto' choose again, {layer: (input shape, dtype, context)}."""
    with GRAPH_LOCK:
        trace_again([layer for layer, x in inputs.items() if layer.choose_algorithm(*x)])


def reshape(geometries: Mapping[Layer, ConvGeometry]) -> None:
    """Set geometries that layers' `changed` returned, {layer: geometry}, and retrace."""
    changed = {layer: new for layer, new in geometries.items() if new != layer.geometry}
    with GRAPH_LOCK:
        for layer, geometry in changed.items():
            layer.take_geometry(geometry)
        trace_again(changed)


def trace_again(layers: Iterable[Layer]) -> None:
    """Retrace every block whose graph contains one of the layers."""
    holders: Dict[Any, Any] = {}
    for layer in layers:
        holders.update(layer.holders)
    _graphs.trace_again(holders)

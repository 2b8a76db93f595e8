"""The only module that sets an algorithm or a geometry on layers; it retraces stale graphs."""

from threading import RLock
from typing import Any, Dict, Iterable, Mapping
from weakref import WeakKeyDictionary, WeakSet

from mxnet import autograd
from mxnet.gluon import HybridBlock

from .. import _gluon, _graphs
from ..algorithms import checked
from ..geometry import ConvGeometry

Layer = Any  # a MultiChannelConv2D, whose module imports this one

# Guards one-time setup of layers and cached graphs, which MXNet can't run from two threads.
GRAPH_LOCK = RLock()

# The layers that wait for the first time that a block's graph is recorded.
_waiting: "WeakKeyDictionary[HybridBlock, WeakSet[Layer]]" = WeakKeyDictionary()


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
        # One with 'auto' chooses in the new graph, whatever it ran before.
        trace_again(
            layer
            for layer in choices
            if layer.algorithm == "auto" or layer.chosen_algorithm != before[layer]
        )


def choose(inputs: Mapping[Layer, Mapping[str, Any]]) -> None:
    """Make layers with 'auto' choose again, {layer: arguments of its `choose_algorithm`}."""
    with GRAPH_LOCK:
        trace_again([layer for layer, x in inputs.items() if layer.choose_algorithm(**x)])
        for layer in inputs:
            wait_for_training(layer, layer.holders)


def choose_for_training(layers: Iterable[Layer]) -> None:
    """Make layers with 'auto' run what they have chosen for training from now on."""
    with GRAPH_LOCK, autograd.pause():
        trace_again([layer for layer in layers if layer.choose_for_training()])


def wait_for_training(layer: Layer, blocks: Iterable[HybridBlock]) -> None:
    """Make a layer run what it has chosen for training once a graph of these blocks is recorded."""
    for block in blocks if layer.waits_for_training else ():
        layers = _waiting.get(block)
        if layers is None:
            layers = _waiting[block] = WeakSet()
            _gluon.before_graph(block, _recorded)
        layers.add(layer)


def forget(layer: Layer) -> None:
    """Let a layer wait for nothing, before it becomes another kind of layer."""
    for layers in _waiting.values():
        layers.discard(layer)


def _recorded(block: HybridBlock) -> bool:
    """Return whether a block's graph is being recorded, after choosing for training if it is."""
    if autograd.is_recording():
        with GRAPH_LOCK:
            while block in _waiting:  # tracing again may make other layers wait
                choose_for_training(_waiting.pop(block))
        return True
    return False


def reshape(geometries: Mapping[Layer, ConvGeometry]) -> None:
    """Set geometries that layers' `changed` returned, {layer: geometry}, and retrace."""
    changed = {layer: new for layer, new in geometries.items() if new != layer.geometry}
    with GRAPH_LOCK:
        for layer, geometry in changed.items():
            layer.take_geometry(geometry)
        trace_again(changed)


def trace_again(layers: Iterable[Layer]) -> None:
    """Retrace every block whose graph contains one of the layers, which have changed."""
    holders: Dict[Any, Any] = {}
    for layer in layers:
        layer.algorithm_changed()
        holders.update(layer.holders)
    _graphs.trace_again(holders)

"""A switch that makes 'auto' MXNet's operator in every layer of the process."""

import os
from types import TracebackType
from typing import Any, Optional, Type
from weakref import WeakSet

from .. import _checks
from . import apply

VARIABLE = "MXCONV_NATIVE"
VALUES = {"": False, "0": False, "1": True}


def _from_environment() -> bool:
    value = os.environ.get(VARIABLE, "")
    if value not in VALUES:
        raise ValueError(f"expected 0 or 1 in {VARIABLE}, received {VARIABLE}={value!r}")
    return VALUES[value]


class _Switch:
    """Whether it is on, and the layers that it switches."""

    on = _from_environment()
    layers: "WeakSet[Any]" = WeakSet()


def is_on() -> bool:
    """Return whether 'auto' is MXNet's operator everywhere."""
    return _Switch.on


def register(layer: Any) -> None:
    """Let the switch find a layer."""
    with apply.GRAPH_LOCK:
        _Switch.layers.add(layer)


def unregister(layer: Any) -> None:
    """Let the switch forget a layer."""
    with apply.GRAPH_LOCK:
        _Switch.layers.discard(layer)


def use_native(active: bool = True) -> "Restore":
    """Make 'auto' MXNet's operator in every layer, from now on or for a `with` block.

    That gives graphs with one operator per convolution, and results that don't depend on the rule
    for this CPU. Algorithms that were requested by name stay. What the rules choose meanwhile runs
    when the switch is off again. Graphs that contain a layer that changes are retraced, now and
    afterwards.

    The switch holds for all threads. The environment variable MXCONV_NATIVE=1, read when mxconv is
    imported, sets it from the start; 0 or nothing leaves it off.

    Parameters
    ----------
    active : bool
        True for MXNet's operator, False for what the rules choose.

    Returns
    -------
    context manager
        Leaving it restores the previous state.

    Raises
    ------
    TypeError
        If active isn't a bool.

    Examples
    --------
    >>> layer = MultiChannelConv2D(2, 3, in_channels=64)
    >>> with use_native():
    ...     layer.chosen_because
    'switched off by use_native or MXCONV_NATIVE'
    """
    before = _Switch.on
    _set(_checks.boolean("active", active))
    return Restore(before)


class Restore:
    """What `use_native` returns: a context manager that goes back to the state before."""

    def __init__(self, before: bool) -> None:
        self._before = before

    def __repr__(self) -> str:
        state = "MXNet's operator" if is_on() else "what the rules choose"
        return f"<'auto' is {state}; at the end of a with block as before>"

    def __enter__(self) -> None:
        """Enter the block; the switch is set already."""

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Restore the previous state."""
        _set(self._before)


def _set(on: bool) -> None:
    """Turn the switch, and retrace what that changes."""
    with apply.GRAPH_LOCK:
        before = {layer: layer.chosen_algorithm for layer in _Switch.layers}
        _Switch.on = on
        apply.trace_again(layer for layer in before if layer.chosen_algorithm != before[layer])

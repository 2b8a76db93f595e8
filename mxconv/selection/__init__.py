"""Everything about choosing a layer's algorithm.

- `rules`: what 'auto' chooses, one readable rule per kind of CPU
- `choose`: the one verb for whole networks, which predicts by the rules or measures
- `inputs`: what each layer of a network gets as its input
- `timing`: how algorithms are timed against 'native', and rejected if their results are wrong
- `record`: what was chosen, as a table and as a file
- `apply`: the only module that sets layers; it retraces stale graphs
- `switch`: makes 'auto' MXNet's operator everywhere

What an algorithm says about itself, such as whether it is worth timing, is in its own module; see
`mxconv.algorithms`.
"""

from importlib import import_module as _import_module
from typing import Any as _Any
from typing import Dict as _Dict

# Loaded when they are asked for: the layer, which they need, imports this package.
_HOMES: _Dict[str, str] = {
    "Choices": "record",
    "LayerChoice": "record",
    "choose_algorithms": "choose",
    "load_choices": "choose",
    "set_algorithm": "choose",
    "use_native": "switch",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> _Any:
    if name in _HOMES:
        return getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

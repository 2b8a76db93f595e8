"""The multi-channel convolution of *Dive into Deep Learning*, as functions and as a Gluon layer.

- The chapter: `corr2d`, `corr2d_loops`, `corr2d_multi_in`, `corr2d_multi_in_out`,
  `corr2d_multi_in_out_1x1`.
- The layer: `MultiChannelConv2D`, and `ConvGeometry` for its shapes.
- Networks: `convert`, `revert`, `set_geometry`, `count_cost`.
- Inference: `for_inference`.
- Algorithms: `choose_algorithms`, `set_algorithm`, `load_choices`, `use_native`.
- Files: `save_parameters`, `load_parameters`, `export_onnx`.
- Namespaces, loaded when they are first used: `exercises` (the chapter's six, answered), `draw`
  (figures and a page), `algorithms`, `selection`, `cpu`, `dtypes`.

Import mxconv before mxnet: MXNet 1.9.1 needs names that newer NumPy versions lack, and mxconv
restores them.
"""

from importlib import import_module as _import_module
from types import ModuleType as _ModuleType
from typing import List as _List

from . import _compat  # noqa: F401  (first: it prepares NumPy for MXNet)
from .exercises.cost import count_cost
from .files.onnx_export import export_onnx
from .files.parameters import load_parameters, save_parameters
from .geometry import ConvGeometry
from .inference import for_inference
from .layer import MultiChannelConv2D
from .networks.conversion import convert, revert
from .networks.reshaping import set_geometry
from .reference import (
    corr2d,
    corr2d_loops,
    corr2d_multi_in,
    corr2d_multi_in_out,
    corr2d_multi_in_out_1x1,
)
from .selection.choose import choose_algorithms, load_choices, set_algorithm
from .selection.switch import use_native

__version__ = "0.1.0"

_NAMESPACES = ("algorithms", "cpu", "draw", "dtypes", "exercises", "selection")


def __getattr__(name: str) -> _ModuleType:
    if name in _NAMESPACES:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> _List[str]:
    return sorted({*globals(), *_NAMESPACES})


__all__ = [
    "ConvGeometry",
    "MultiChannelConv2D",
    "choose_algorithms",
    "convert",
    "corr2d",
    "corr2d_loops",
    "corr2d_multi_in",
    "corr2d_multi_in_out",
    "corr2d_multi_in_out_1x1",
    "count_cost",
    "export_onnx",
    "for_inference",
    "load_choices",
    "load_parameters",
    "revert",
    "save_parameters",
    "set_algorithm",
    "set_geometry",
    "use_native",
]

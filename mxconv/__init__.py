"""The multi-channel convolution of *Dive into Deep Learning*, as functions and as a Gluon layer."""

from importlib import import_module as _import_module

from . import _compat  # noqa: F401  (first: it readies NumPy for MXNet)
from .compose import compose
from .cost import cost
from .decide import choose_algorithms
from .export import export_onnx
from .factor import decompose, factor
from .geometry import ConvGeometry
from .layer import MultiChannelConv2D
from .matrix import toeplitz
from .network import convert, revert, set_algorithm, set_geometry
from .reference import (
    corr2d,
    corr2d_multi_in,
    corr2d_multi_in_out,
    corr2d_multi_in_out_1x1,
)
from .rounding import rounding_bound
from .storage import load_parameters, save_parameters
from .tune import tune
from .tuning import load_tuning

__version__ = "0.1.0"

_NAMESPACES = ("cpu", "draw")  # which not everyone needs: imported when they are asked for


def __getattr__(name):
    if name in _NAMESPACES:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_NAMESPACES])


__all__ = [
    "ConvGeometry",
    "MultiChannelConv2D",
    "choose_algorithms",
    "compose",
    "convert",
    "corr2d",
    "corr2d_multi_in",
    "corr2d_multi_in_out",
    "corr2d_multi_in_out_1x1",
    "cost",
    "decompose",
    "export_onnx",
    "factor",
    "load_parameters",
    "load_tuning",
    "revert",
    "rounding_bound",
    "save_parameters",
    "set_algorithm",
    "set_geometry",
    "toeplitz",
    "tune",
]

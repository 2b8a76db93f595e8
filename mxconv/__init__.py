"""The multi-channel convolution of *Dive into Deep Learning*, as functions and as a Gluon layer."""

from . import _compat  # noqa: F401  (first: it readies NumPy for MXNet)
from .geometry import ConvGeometry
from .layer import MultiChannelConv2D
from .reference import (
    corr2d,
    corr2d_multi_in,
    corr2d_multi_in_out,
    corr2d_multi_in_out_1x1,
)

__version__ = "0.1.0"

__all__ = [
    "ConvGeometry",
    "MultiChannelConv2D",
    "corr2d",
    "corr2d_multi_in",
    "corr2d_multi_in_out",
    "corr2d_multi_in_out_1x1",
]

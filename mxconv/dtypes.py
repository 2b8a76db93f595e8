"""The dtypes that MXNet convolves, including bfloat16, for which NumPy has no name."""

import json
from typing import Any

import numpy as np
from mxnet import Context, init, nd
from mxnet.gluon import Parameter

from . import _gluon
from ._cpuinfo import has_avx512

__all__ = ["BFLOAT16", "as_dtype", "has_convolution", "has_matrix_product", "name_of"]

#: MXNet's own spelling of bfloat16: its arrays report it as their dtype, its operators accept it.
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])

CONVOLVED = (*(np.dtype(name) for name in ("float16", "float32", "float64")), BFLOAT16)

# What MXNet makes the initializer from. Its registry is global, hence the prefix.
REGISTERED_NAME = "mxconv_drawn_in_float32"


def as_dtype(value: Any) -> np.dtype:
    """Return one of the dtypes that MXNet convolves.

    Parameters
    ----------
    value : str, type or dtype
        'float16', 'float32', 'float64' or 'bfloat16', or what NumPy or MXNet has for it.

    Raises
    ------
    TypeError
        Any other value.

    Examples
    --------
    >>> as_dtype("float32")
    dtype('float32')
    >>> as_dtype("bfloat16") == BFLOAT16
    True
    """
    dtype = None
    if isinstance(value, (str, type, np.dtype)):  # NumPy also takes None, and arrays
        try:
            dtype = BFLOAT16 if str(value) == "bfloat16" else np.dtype(value)
        except (TypeError, ValueError):
            pass
    if dtype is None or dtype not in CONVOLVED:
        names = ", ".join(repr(name_of(dtype)) for dtype in CONVOLVED)
        raise TypeError(
            f"dtype is not one that MXNet convolves: expected {names}, received dtype={value!r}"
        )
    return dtype


def name_of(dtype: Any) -> str:
    """Return a dtype's common name.

    >>> name_of(BFLOAT16)
    'bfloat16'
    """
    dtype = np.dtype(dtype)
    return "bfloat16" if dtype == BFLOAT16 else dtype.name


def has_matrix_product(dtype: Any, context: Context) -> bool:
    """Return whether MXNet multiplies matrices of this dtype on this context."""
    dtype = np.dtype(dtype)
    on_gpu = context.device_type == "gpu"
    return dtype in (np.float32, np.float64) or (dtype == np.float16 and on_gpu)


def has_convolution(dtype: Any, context: Context) -> bool:
    """Return whether MXNet's operator convolves arrays of this dtype on this context."""
    if np.dtype(dtype) == BFLOAT16:
        return context.device_type != "gpu" and has_avx512()
    return has_matrix_product(dtype, context)


@init.alias(REGISTERED_NAME)
class DrawnInFloat32(init.Initializer):
    """Draws values in float32, as another initializer would, and converts them.

    MXNet 1.9.1 has no random numbers of dtype bfloat16.

    Parameters
    ----------
    inner : None, str or Initializer
        The initializer that draws; None for the one given to the network's `initialize`.
    """

    def __init__(self, inner: Any = None) -> None:
        self._inner = inner
        self._text = inner.dumps() if isinstance(inner, init.Initializer) else inner
        super().__init__(inner=self._text)

    def dumps(self) -> str:
        """Return the initializer as text, from which MXNet makes it again where it is used."""
        return json.dumps([REGISTERED_NAME, {"inner": self._text}])

    def _init_weight(self, name: init.InitDesc, array: nd.NDArray) -> None:
        drawn = nd.zeros(array.shape, ctx=array.context)
        inner = name.global_init if self._inner is None else init.create(self._inner)
        _gluon.draw_weight(inner, name, drawn)
        drawn.astype(array.dtype).copyto(array.as_nd_ndarray())


def draw_in_float32(parameter: Parameter) -> None:
    """Let a parameter that has no values yet draw them in a dtype that MXNet can draw."""
    if not isinstance(parameter.init, DrawnInFloat32):
        parameter.init = DrawnInFloat32(parameter.init)
    if _gluon.is_deferred(parameter):
        _gluon.replace_deferred_initializer(parameter, parameter.init)

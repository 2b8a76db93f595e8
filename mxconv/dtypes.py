"""The dtypes that MXNet convolves, bfloat16 among them, which NumPy has no name for."""

import numpy as np
from mxnet import init, nd

from ._cpuinfo import has_avx512

# MXNet's own spelling: its arrays give this as their dtype, and its operators take it.
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])

CONVOLVED = tuple(np.dtype(name) for name in ("float16", "float32", "float64")) + (BFLOAT16,)


def as_dtype(value):
    """One of the dtypes that MXNet convolves, from its name, its NumPy type or itself.

    Raises
    ------
    TypeError
        Any other value.
    """
    dtype = None
    if isinstance(value, (str, type, np.dtype)):  # NumPy takes None, and what has a dtype, too
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


def name_of(dtype):
    """The name that a person knows a dtype by."""
    dtype = np.dtype(dtype)
    return "bfloat16" if dtype == BFLOAT16 else dtype.name


def has_matrix_product(dtype, context):
    """Whether MXNet multiplies matrices of this dtype there."""
    dtype = np.dtype(dtype)
    on_gpu = context.device_type == "gpu"
    return dtype in (np.float32, np.float64) or (dtype == np.float16 and on_gpu)


def has_convolution(dtype, context):
    """Whether MXNet's operator convolves arrays of this dtype there."""
    if np.dtype(dtype) == BFLOAT16:
        return context.device_type != "gpu" and has_avx512()
    return has_matrix_product(dtype, context)


@init.register
class DrawnInFloat32(init.Initializer):
    """Draws in float32 what `inner`, or else the network's initializer, would, and converts it.

    MXNet 1.9.1 has no random numbers of dtype bfloat16.
    """

    def __init__(self, inner=None):
        super().__init__(inner=inner.dumps() if isinstance(inner, init.Initializer) else inner)
        self._inner = inner

    def _init_weight(self, name, array):
        drawn = nd.zeros(array.shape, ctx=array.context)
        inner = name.global_init if self._inner is None else init.create(self._inner)
        inner._init_weight(name, drawn)
        drawn.astype(array.dtype).copyto(array.as_nd_ndarray())


def draw_in_float32(parameter):
    """Make a parameter that has no values yet draw them in a dtype that MXNet can draw."""
    if not isinstance(parameter.init, DrawnInFloat32):
        parameter.init = DrawnInFloat32(parameter.init)
    if parameter._deferred_init:
        _, *rest = parameter._deferred_init
        parameter._deferred_init = (parameter.init, *rest)

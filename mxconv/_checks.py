"""Checks of arguments, and the wording of their errors.

Every message names the argument, shows the value received and says what was expected. MXNet runs
asynchronously and reports many mistakes only when a result is read. These checks run in Python,
before anything is dispatched.
"""

import math
import numbers
from typing import Any, Iterable, List, Optional, Tuple, TypeVar, Union

import numpy as np
from mxnet import nd
from mxnet import np as mx_np

from . import dtypes

ARRAY_TYPES = (nd.NDArray, mx_np.ndarray)  # what networks take

T = TypeVar("T")
Pair = Tuple[int, int]

X_AXES = {2: "(h, w)", 3: "(c_i, h, w)"}
K_AXES = {2: "(k_h, k_w)", 3: "(c_i, k_h, k_w)", 4: "(c_o, c_i, k_h, k_w)"}

# MXNet's wheels index with 32-bit integers, and reject an array with INT32_MAX elements.
INT32_MAX = 2**31 - 1
MAX_ELEMENTS = INT32_MAX - 1


def instance(name: str, value: T, kinds: Union[type, Tuple[type, ...]], expected: str) -> T:
    """Return `value`, which must be an instance of one of `kinds`; `expected` names them."""
    if not isinstance(value, kinds):
        raise TypeError(f"{name} has the wrong type: expected {expected}, {_received(name, value)}")
    return value


def _received(name: str, value: Any) -> str:
    """Show the value in an error: an array by its shape, as its elements would fill the screen."""
    if isinstance(value, (nd.NDArray, np.ndarray)):
        return f"received {name}=<{_type(value)} of shape {value.shape}>"
    return f"received {name}={value!r}"


def _type(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


def _is_integer(value: Any) -> bool:
    kind = type(value)
    return kind is int or (issubclass(kind, numbers.Integral) and kind is not bool)


def integer(name: str, value: Any, minimum: int) -> int:
    """Return `value` as an int between `minimum` and `INT32_MAX`; bools and floats are rejected."""
    if not _is_integer(value):
        expected = f"expected an integer >= {minimum}, {_received(name, value)}"
        raise TypeError(f"{name} has the wrong type: {expected}")
    if not minimum <= value <= INT32_MAX:
        expected = f"integer >= {minimum}" if value < minimum else f"integer <= {INT32_MAX}"
        raise ValueError(f"{name} is out of range: expected an {expected}, received {name}={value}")
    return int(value)


def positive(name: str, value: Any) -> float:
    """Return `value`, which must be a finite number above 0."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number:
        raise TypeError(f"{name} has the wrong type: expected a number, {_received(name, value)}")
    if not 0 < value < math.inf:
        raise ValueError(f"expected {name} > 0 and finite, received {name}={value!r}")
    return value


def boolean(name: str, value: Any) -> bool:
    """Return `value` as a bool; 0 and 1 count as bools."""
    if not isinstance(value, (bool, np.bool_)) and not (_is_integer(value) and value in (0, 1)):
        raise TypeError(
            f"{name} has the wrong type: expected True or False, {_received(name, value)}"
        )
    return bool(value)


def pair(name: str, value: Any, minimum: int) -> Pair:
    """Return `value`, an int or a pair of ints for (height, width), as a pair of ints."""
    height, width = _per_axis(name, value, "one integer or two, (height, width)")
    return integer(name, height, minimum), integer(name, width, minimum)


def pads(name: str, value: Any) -> Tuple[Pair, Pair]:
    """Return padding as ((top, bottom), (left, right)).

    `value` is an int, a pair of ints, or a pair of pairs.
    """
    if isinstance(value, str):
        raise ValueError(
            f"{name} is unknown: expected integers, 'same' or 'valid', received {name}={value!r}"
        )
    expected = "one integer, (height, width) or ((top, bottom), (left, right))"
    rows, columns = _per_axis(name, value, expected)
    return pair(name, rows, 0), pair(name, columns, 0)


def _per_axis(name: str, value: Any, expected: str) -> Tuple[Any, Any]:
    """Return one value for each of two axes: the items of a pair, or the same value for both."""
    if not isinstance(value, (tuple, list)):
        return value, value
    if len(value) != 2:
        raise ValueError(
            f"{name} has the wrong length: expected {expected}, {_received(name, value)}"
        )
    return value[0], value[1]


def choice(name: str, value: T, allowed: Iterable[Optional[str]]) -> T:
    """Return `value`, which must be one of `allowed`: strings, and perhaps None."""
    options = tuple(allowed)
    comparable = value is None or isinstance(value, str)  # an array would compare its elements
    if not comparable or value not in options:
        wrong = "unknown" if isinstance(value, str) else "invalid"
        listed = ", ".join(map(repr, options))
        raise ValueError(f"{name} is {wrong}: expected one of {listed}, {_received(name, value)}")
    return value


def input_shapes(value: Any, any_batch: bool = False, name: str = "input_shape") -> Tuple[Any, ...]:
    """Return a tuple with the shape of each argument of a network, given one shape or several.

    An argument that is a list of arrays has a list of shapes, nested likewise.
    """
    if _holds_sequences(value):
        return tuple(_nested_shapes(name, value, any_batch))
    return (input_shape(value, any_batch=any_batch, name=name),)


def _nested_shapes(name: str, value: Any, any_batch: bool) -> List[Any]:
    """Check each item: a shape, or a list of shapes."""
    return [
        _nested_shapes(f"{name}[{i}]", item, any_batch)
        if _holds_sequences(item)
        else input_shape(item, any_batch=any_batch, name=f"{name}[{i}]")
        for i, item in enumerate(value)
    ]


def _holds_sequences(value: Any) -> bool:
    sequence = (tuple, list)
    return isinstance(value, sequence) and any(isinstance(item, sequence) for item in value)


def input_shape(
    value: Any,
    axes: str = "(batch, ...)",
    rank: Optional[int] = None,
    any_batch: bool = False,
    name: str = "input_shape",
) -> Tuple[Any, ...]:
    """Return the shape of a non-empty input as a tuple of ints.

    Errors show `axes` as the shape expected. `rank` is the number of axes, if it is fixed. With
    `any_batch`, the first size may be None.
    """
    sizes = value if isinstance(value, (tuple, list)) else [None]
    if any_batch and len(sizes) > 1 and sizes[0] is None:
        sizes = sizes[1:]
    if not all(map(_is_integer, sizes)):
        raise TypeError(
            f"{name} has the wrong type: expected a tuple of integers, {axes}, "
            f"{_received(name, value)}"
        )
    received = f"received {name}={value}"
    if min(sizes, default=0) < 1 or len(value) != (rank or len(value)):
        raise ValueError(f"expected a non-empty input of shape {axes}, {received}")
    sizes = tuple(map(int, sizes))
    indexable("the input", sizes, received)
    return sizes if len(sizes) == len(value) else (None, *sizes)


def indexable(what: str, shape: Tuple[int, ...], received: str) -> None:
    """Reject an array too large for MXNet to index, before anything is allocated for it."""
    elements = math.prod(shape)
    if elements > MAX_ELEMENTS:
        raise ValueError(
            f"{what} {shape} would have {elements} elements, but MXNet indexes at most "
            f"{MAX_ELEMENTS}; {received}"
        )


def ndarray(name: str, value: Any) -> nd.NDArray:
    """Return `value`, which must be an `mx.nd.NDArray`."""
    if type(value) is not nd.NDArray:
        advice = ""
        if isinstance(value, (np.ndarray, list, tuple)):
            advice = f"; make one with mxnet.nd.array({name})"
        elif isinstance(value, nd.NDArray):
            is_sparse = value.stype != "default"
            advice = "; call its " + ("tostype('default')" if is_sparse else "as_nd_ndarray()")
        raise TypeError(
            f"{name} has the wrong type: expected an mxnet.nd.NDArray, received {_type(value)}"
            f"{advice}"
        )
    return value


def operands(function: str, X: Any, K: Any, x_rank: int, k_rank: int) -> None:
    """Check X and K, the arguments of one of the chapter's functions, which have these ranks."""
    ndarray("X", X)
    ndarray("K", K)
    received = f"received X.shape={X.shape}, K.shape={K.shape}"
    if X.ndim != x_rank or K.ndim != k_rank or 0 in X.shape + K.shape:
        raise ValueError(
            f"{function}: expected X of shape {X_AXES[x_rank]} and K of shape {K_AXES[k_rank]}, "
            f"neither empty, {received}"
        )
    if k_rank > 2 and X.shape[0] != K.shape[-3]:
        raise ValueError(
            f"{function}: X has {X.shape[0]} channels and K has {K.shape[-3]}; expected the "
            f"same number, {received}"
        )
    if X.shape[-2] < K.shape[-2] or X.shape[-1] < K.shape[-1]:
        raise ValueError(
            f"{function}: expected a kernel no larger than the input along either axis, {received}"
        )
    if X.dtype != K.dtype:
        raise TypeError(
            f"{function}: expected X and K of the same dtype, received X of {np.dtype(X.dtype)} "
            f"and K of {np.dtype(K.dtype)}"
        )
    if X.context != K.context:
        raise ValueError(
            f"{function}: expected X and K on the same context, received X on {X.context} and K "
            f"on {K.context}"
        )


def one_by_one(X: nd.NDArray, K: nd.NDArray) -> None:
    """Check what the matrix product of the 1x1 function requires beyond `operands`."""
    if K.shape[2:] != (1, 1):
        raise ValueError(
            "corr2d_multi_in_out_1x1: expected a 1x1 kernel, K of shape (c_o, c_i, 1, 1), "
            f"received X.shape={X.shape}, K.shape={K.shape}"
        )
    if not dtypes.has_matrix_product(X.dtype, X.context):
        raise TypeError(
            "corr2d_multi_in_out_1x1: expected X and K of float32 or float64, or of float16 on a "
            "GPU, because MXNet multiplies no other matrices; received "
            f"{np.dtype(X.dtype)} on {X.context}"
        )


def four_axes(name: str, value: Any) -> nd.NDArray:
    """Return `value`, which must be an NDArray with a kernel's four axes, none of them empty."""
    if ndarray(name, value).ndim != 4 or 0 in value.shape:
        raise ValueError(
            f"{name} has the wrong shape: expected a non-empty kernel of shape {K_AXES[4]}, "
            f"received {name}.shape={value.shape}"
        )
    return value


def kernel(name: str, value: Any) -> nd.NDArray:
    """Return `value`, which must be a kernel of a dtype that MXNet multiplies matrices of."""
    four_axes(name, value)
    if not dtypes.has_matrix_product(value.dtype, value.context):
        raise TypeError(
            f"{name} has the wrong dtype: expected float32 or float64, or float16 on a GPU; "
            f"received {dtypes.name_of(value.dtype)} on {value.context}"
        )
    return value


def arrays(name: str, value: Any, kinds: Any = (tuple, list), hint: str = "") -> None:
    """Reject anything but an array, or a nonempty sequence of them of one of the `kinds`.

    `hint` ends the error for an integer, which may be part of a shape.
    """
    if isinstance(value, kinds):
        if not value:
            raise ValueError(
                f"{name} is empty: expected an array for each input, received {name}={value!r}"
            )
        for i, item in enumerate(value):
            arrays(f"{name}[{i}]", item, hint=hint)
    elif type(value) not in ARRAY_TYPES:
        several = " or a tuple of them" if list not in kinds else ""
        hint = f"; {hint}" if hint and type(value) is int else ""
        raise TypeError(
            f"{name} has the wrong type: expected an mxnet.nd.NDArray or an mxnet.np.ndarray"
            f"{several}, received {type(value).__module__}.{type(value).__name__}{hint}"
        )

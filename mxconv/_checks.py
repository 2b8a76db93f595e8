"""Argument checks and the wording of their errors.

Every message names the argument, gives the value received and says what was expected.
MXNet runs asynchronously and reports many mistakes only when a result is read; these checks run in
Python, before anything is dispatched.
"""

import math
import numbers

import numpy as np
from mxnet import init, nd

from . import dtypes

X_AXES = {2: "(h, w)", 3: "(c_i, h, w)"}
K_AXES = {2: "(k_h, k_w)", 3: "(c_i, k_h, k_w)", 4: "(c_o, c_i, k_h, k_w)"}

# What a layer's arguments are called in PyTorch, Keras and MXNet's operator.
ELSEWHERE = {
    "out_channels": "channels",
    "filters": "channels",
    "num_filter": "channels",
    "kernel": "kernel_size",
    "stride": "strides",
    "pad": "padding",
    "dilate": "dilation",
    "dilation_rate": "dilation",
    "num_group": "groups",
    "bias": "use_bias",
    "data_format": "layout",
    "kernel_initializer": "weight_initializer",
}

# MXNet's packages hold sizes in 32 bits, and refuse an array of as many elements as that counts to.
LARGEST = 2**31 - 1
MOST_ELEMENTS = LARGEST - 1


def instance(name, value, kinds, expected):
    """`value`, which has to be an instance of one of `kinds`; `expected` says so in words."""
    if not isinstance(value, kinds):
        raise TypeError(f"{name} has the wrong type: expected {expected}, {_received(name, value)}")
    return value


def _received(name, value):
    """The value as errors give it: arrays without their elements, which would fill the screen."""
    if isinstance(value, (nd.NDArray, np.ndarray)):
        return f"received {name}=<{_type(value)} of shape {value.shape}>"
    return f"received {name}={value!r}"


def _type(value):
    return f"{type(value).__module__}.{type(value).__name__}"


def _is_integer(value):
    kind = type(value)
    return kind is int or (issubclass(kind, numbers.Integral) and kind is not bool)


def integer(name, value, minimum):
    """`value` as an int from `minimum` to `LARGEST`; booleans and floats are refused."""
    if not _is_integer(value):
        expected = f"expected an integer >= {minimum}, {_received(name, value)}"
        raise TypeError(f"{name} has the wrong type: {expected}")
    if not minimum <= value <= LARGEST:
        expected = f"integer >= {minimum}" if value < minimum else f"integer <= {LARGEST}"
        raise ValueError(f"{name} is out of range: expected an {expected}, received {name}={value}")
    return int(value)


def positive(name, value):
    """`value`, a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} has the wrong type: expected a number, {_received(name, value)}")
    if not 0 < value < math.inf:
        raise ValueError(f"expected {name} > 0 and finite, received {name}={value!r}")
    return value


def boolean(name, value):
    """`value` as a bool; 0 and 1 are taken for one."""
    if not isinstance(value, (bool, np.bool_)) and not (_is_integer(value) and value in (0, 1)):
        raise TypeError(
            f"{name} has the wrong type: expected True or False, {_received(name, value)}"
        )
    return bool(value)


def pair(name, value, minimum):
    """`value`, an int or a pair of ints for (height, width), as a pair of ints."""
    value = _two(name, value, "one integer or two, (height, width)")
    return tuple(integer(name, item, minimum) for item in value)


def margins(name, value):
    """Padding as ((top, bottom), (left, right)): an int, a pair of ints, or a pair of pairs."""
    if isinstance(value, str):
        raise ValueError(
            f"{name} is unknown: expected integers, 'same' or 'valid', received {name}={value!r}"
        )
    value = _two(name, value, "one integer, (height, width) or ((top, bottom), (left, right))")
    return tuple(pair(name, item, 0) for item in value)


def _two(name, value, expected):
    """`value` twice or, if it is a tuple or list, its two items."""
    if not isinstance(value, (tuple, list)):
        return value, value
    if len(value) != 2:
        raise ValueError(
            f"{name} has the wrong length: expected {expected}, {_received(name, value)}"
        )
    return value


def no_others(function, given):
    """Refuse arguments that a layer doesn't have, with its word for what others call otherwise."""
    for name, value in given.items():
        ours = ELSEWHERE.get(name)
        hint = f": here it is {ours}" if ours else ""
        raise TypeError(f"{function} has no argument {name}, received {name}={value!r}{hint}")


def choice(name, value, allowed):
    """`value`, which has to be one of `allowed`: strings, and it may be None."""
    comparable = value is None or isinstance(value, str)  # an array would compare its elements
    if not comparable or value not in allowed:
        options = ", ".join(repr(item) for item in allowed)
        raise ValueError(f"{name} is unknown: expected one of {options}, {_received(name, value)}")
    return value


def input_shapes(value, any_batch=False):
    """The shape of each argument of a network in a tuple, from its one shape or several.

    An argument that is a list of arrays has a list of shapes, and so on.
    """
    if isinstance(value, (tuple, list)) and any(isinstance(v, (tuple, list)) for v in value):
        return tuple(_nested_shapes("input_shape", value, any_batch))
    return (input_shape(value, any_batch=any_batch),)


def _nested_shapes(name, value, any_batch):
    """Each item a shape, or a list of those."""
    if isinstance(value, (tuple, list)) and any(isinstance(v, (tuple, list)) for v in value):
        return [_nested_shapes(f"{name}[{i}]", v, any_batch) for i, v in enumerate(value)]
    return input_shape(value, any_batch=any_batch, name=name)


def input_shape(value, axes="(batch, ...)", rank=None, any_batch=False, name="input_shape"):
    """The shape of an input that isn't empty, as a tuple of `rank` ints, `axes` in words.

    With `any_batch` the first may be None.
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


def indexable(what, shape, received):
    """Refuse an array that MXNet can't index before anything is allocated for it."""
    elements = math.prod(shape)
    if elements > MOST_ELEMENTS:
        raise ValueError(
            f"{what} {shape} would have {elements} elements, MXNet indexes at most "
            f"{MOST_ELEMENTS}, {received}"
        )


def ndarray(name, value):
    """`value`, which has to be an `mx.nd.NDArray`."""
    if type(value) is not nd.NDArray:
        numbers_in_order = isinstance(value, (np.ndarray, list, tuple))
        advice = f"; make one with mxnet.nd.array({name})" if numbers_in_order else ""
        advice = "; call its as_nd_ndarray()" if isinstance(value, nd.NDArray) else advice
        raise TypeError(
            f"{name} has the wrong type: expected an mxnet.nd.NDArray, received {_type(value)}"
            f"{advice}"
        )
    return value


def initializer(name, value):
    """An initializer, or the name of one that MXNet knows."""
    if isinstance(value, str):
        try:
            init.create(value)
        except Exception as error:
            raise ValueError(
                f"{name} is unknown: expected None, an mxnet.init.Initializer or the name of one, "
                f"such as 'xavier', received {name}={value!r}"
            ) from error
        return value
    kinds = (type(None), init.Initializer)
    return instance(name, value, kinds, "None, an mxnet.init.Initializer or the name of one")


def operands(function, X, K, x_rank, k_rank):
    """X and K, the arguments of one of the chapter's functions, of the ranks it expects."""
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
            f"{function}: X has {X.shape[0]} channels and K has {K.shape[-3]}, expected as many, "
            f"{received}"
        )
    if X.shape[-2] < K.shape[-2] or X.shape[-1] < K.shape[-1]:
        raise ValueError(
            f"{function}: expected a kernel no larger than the input in either axis, {received}"
        )
    if X.dtype != K.dtype:
        raise TypeError(
            f"{function}: expected X and K of one dtype, received X of {np.dtype(X.dtype)} and K "
            f"of {np.dtype(K.dtype)}"
        )
    if X.context != K.context:
        raise ValueError(
            f"{function}: expected X and K on one context, received X on {X.context} and K on "
            f"{K.context}"
        )


def one_by_one(X, K):
    """What the matrix product of the 1x1 function asks for beyond `operands`."""
    if K.shape[2:] != (1, 1):
        raise ValueError(
            "corr2d_multi_in_out_1x1: expected a 1x1 kernel, K of shape (c_o, c_i, 1, 1), "
            f"received X.shape={X.shape}, K.shape={K.shape}"
        )
    if not dtypes.has_matrix_product(X.dtype, X.context):
        raise TypeError(
            "corr2d_multi_in_out_1x1: MXNet multiplies matrices of float32 and float64, and of "
            f"float16 on a GPU; received {np.dtype(X.dtype)} on {X.context}"
        )


def four_axes(name, value):
    """`value`, which has to be an NDArray with the four axes of a kernel, none of them empty."""
    if ndarray(name, value).ndim != 4 or 0 in value.shape:
        raise ValueError(
            f"{name} has the wrong shape: expected a non-empty kernel of shape {K_AXES[4]}, "
            f"received {name}.shape={value.shape}"
        )
    return value


def kernel(name, value):
    """`value`, which has to be an NDArray of four axes that MXNet can convolve with."""
    four_axes(name, value)
    if not dtypes.has_matrix_product(value.dtype, value.context):
        raise TypeError(
            f"{name} has the wrong dtype: MXNet convolves float32 and float64, and float16 on a "
            f"GPU; received {dtypes.name_of(value.dtype)} on {value.context}"
        )
    return value


def layer_input(shape, dtype, context, geometry, weight):
    """An input's properties, which have to suit a layer's geometry and its weight, a Parameter."""
    geometry.output_shape(shape)
    ours = dtypes.as_dtype(weight.dtype)  # which a Parameter may hold as a name
    convolved(ours, context)
    if dtype != ours:
        name = dtypes.name_of(ours)
        spelled = "mxconv.dtypes.BFLOAT16" if ours == dtypes.BFLOAT16 else repr(name)
        raise TypeError(
            f"expected an input of the parameters' dtype {name}, received {dtypes.name_of(dtype)}: "
            f"convert with x.astype({spelled}), or the layer with layer.cast(...)"
        )
    contexts = weight.list_ctx()
    if context not in contexts:
        raise ValueError(
            f"expected an input on the parameters' context, one of {contexts}, received one on "
            f"{context}: move it with x.as_in_context(...), or the layer with "
            "layer.collect_params().reset_ctx(...)"
        )


def convolved(dtype, context):
    """Refuse a dtype that MXNet can't convolve there."""
    if not dtypes.has_convolution(dtype, context):
        raise TypeError(
            "MXNet convolves float32 and float64, bfloat16 on a CPU with AVX-512, and float16 "
            f"on a GPU; received parameters of {dtypes.name_of(dtype)} on {context}"
        )


def bfloat16_layer(geometry, algorithm, contexts):
    """Refuse what MXNet can't do in bfloat16: all but `Convolution`, which pads evenly by zeros.

    Its transpose of bfloat16 arrays even ends the process.
    """
    for context in contexts:
        convolved(dtypes.BFLOAT16, context)
    if algorithm != "direct":
        obstacle = f"algorithm={algorithm!r}"
    elif geometry.layout != "NCHW":
        obstacle = f"layout={geometry.layout!r}"
    elif geometry.padded_apart:
        obstacle = f"padding={geometry.padding}, padding_mode={geometry.padding_mode!r}"
    else:
        return
    raise TypeError(
        "MXNet convolves bfloat16 with algorithm='direct', layout='NCHW' and even padding by "
        f"zeros; received {obstacle}"
    )

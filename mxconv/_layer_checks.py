"""What a layer rejects: in its constructor, at a call, and where MXNet lacks bfloat16."""

from typing import Any, Dict, Iterable, Tuple

from mxnet import Context, init
from mxnet.gluon import Parameter

from . import _checks, dtypes
from .geometry import ConvGeometry

# What PyTorch, Keras and MXNet's operator call the arguments of a layer.
NAMES_ELSEWHERE = {
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


def no_arguments_from_elsewhere(function: str, given: Dict[str, Any]) -> None:
    """Reject arguments by their names elsewhere, with the layer's own names for them."""
    for name, value in given.items():
        if name in NAMES_ELSEWHERE:
            raise TypeError(
                f"{function} has no argument {name}, received {name}={value!r}; use "
                f"{NAMES_ELSEWHERE[name]} instead"
            )


def no_unknown_arguments(function: str, given: Dict[str, Any]) -> None:
    """Reject arguments that a layer doesn't have."""
    no_arguments_from_elsewhere(function, given)
    for name, value in given.items():
        raise TypeError(f"{function} has no argument {name}, received {name}={value!r}")


def initializer(name: str, value: Any) -> Any:
    """Return `value`, which must be None, an initializer, or the name of one MXNet knows."""
    if isinstance(value, str):
        try:
            init.create(value)
        except Exception as error:
            raise ValueError(
                f"{name} is unknown: expected None, an mxnet.init.Initializer or the name of one, "
                f"such as 'xavier', received {name}={value!r}"
            ) from error
        return value
    expected = "None, an mxnet.init.Initializer or the name of one"
    return _checks.instance(name, value, (type(None), init.Initializer), expected)


def layer_input(
    shape: Tuple[int, ...],
    dtype: Any,
    context: Context,
    geometry: ConvGeometry,
    weight: Parameter,
) -> None:
    """Check that an input fits a layer's geometry and its weight."""
    geometry.output_shape(shape)
    expected = dtypes.as_dtype(weight.dtype)  # a Parameter may hold its dtype as a name
    _convolved(expected, context)
    if dtype != expected:
        name = dtypes.name_of(expected)
        spelled = "mxconv.dtypes.BFLOAT16" if expected == dtypes.BFLOAT16 else repr(name)
        raise TypeError(
            f"expected an input of the parameters' dtype {name}, received {dtypes.name_of(dtype)}: "
            f"convert it with x.astype({spelled}), or the layer with layer.cast(...)"
        )
    contexts = weight.list_ctx()
    if context not in contexts:
        raise ValueError(
            f"expected an input on the parameters' context, one of {contexts}, received one on "
            f"{context}: move it with x.as_in_context(...), or the layer with "
            "layer.collect_params().reset_ctx(...)"
        )


def _convolved(dtype: Any, context: Context) -> None:
    """Reject a dtype that MXNet can't convolve on this context."""
    if not dtypes.has_convolution(dtype, context):
        raise TypeError(
            "expected parameters of a dtype that MXNet convolves: float32, float64, bfloat16 on a "
            "CPU with AVX-512, or float16 on a GPU; received parameters of "
            f"{dtypes.name_of(dtype)} on {context}"
        )


def bfloat16(geometry: ConvGeometry, algorithm: str, contexts: Iterable[Context]) -> None:
    """Reject what MXNet can't do in bfloat16, which is all but a plain `Convolution`.

    Its transpose of bfloat16 arrays even crashes the process.
    """
    for context in contexts:
        _convolved(dtypes.BFLOAT16, context)
    if algorithm != "native":
        obstacle = f"algorithm={algorithm!r}"
    elif geometry.layout != "NCHW":
        obstacle = f"layout={geometry.layout!r}"
    elif geometry.needs_explicit_padding:
        obstacle = f"padding={geometry.padding}, padding_mode={geometry.padding_mode!r}"
    else:
        return
    raise TypeError(
        "a bfloat16 layer expects algorithm='native', layout='NCHW' and even zero padding, because "
        f"MXNet convolves bfloat16 in no other way; received {obstacle}"
    )

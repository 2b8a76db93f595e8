"""The data behind a drawing: every sum of one small cross-correlation, and how to write it out."""

import functools
import inspect
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Callable, NamedTuple, TypeVar, cast

import numpy as np
from mxnet import cpu, nd

from .. import _checks, dtypes
from ..algorithms.definition import definition
from ..algorithms.ops import pad
from ..geometry import ConvGeometry, Shape

F = TypeVar("F", bound=Callable[..., Any])

# Arguments of convolutions that no drawing shows, and what to do about them.
UNDRAWN = {
    "bias": "a bias, which adds the same number to a whole output channel",
    "layout": "a layout other than NCHW; X.transpose((2, 0, 1)) moves the last axis to the front",
    "transposed": "a transposed convolution; `animate` does",
}


def refuse_undrawn(function: F) -> F:
    """Make a function say what it doesn't draw, when it is called with such an argument."""
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def refusing(*arguments: Any, **named: Any) -> Any:
        for name in named:
            if name in UNDRAWN and name not in parameters:
                raise TypeError(
                    f"{function.__name__} takes no {name}: it doesn't draw {UNDRAWN[name]}"
                )
        return function(*arguments, **named)

    return cast(F, refusing)


class Limits(NamedTuple):
    """The most that stays readable."""

    across: int  # rows or columns, with padding
    channels: int  # input or output channels
    products: int  # products in one sum


@dataclass(frozen=True)
class Sums:
    """A cross-correlation in parts, as NumPy arrays of float64, or of int for positions.

    Positions count the elements of a plane row by row.

    Attributes
    ----------
    padded : array of shape (c_i, height, width)
        The input with its padding.
    border : array of bool, of shape (height, width)
        Where the padding is.
    kernel : array of shape (c_o, c_i / groups, k_h, k_w)
    parts : array of shape (c_o, c_i / groups, o_h, o_w)
        The cross-correlation of each plane of the kernel with its input channel: parts[o, i]
        belongs to kernel[o, i] and to input channel inputs_of(o)[i].
    output : array of shape (c_o, o_h, o_w)
        The sums of these parts over the input channels.
    windows : array of int, of shape (o_h o_w, k_h k_w)
        For each output element, the positions in a padded plane that its window covers.
    stacked : bool
        Whether K has an axis for the output channels; if so, names include their index.
    """

    padded: np.ndarray
    border: np.ndarray
    kernel: np.ndarray
    parts: np.ndarray
    output: np.ndarray
    windows: np.ndarray
    stacked: bool

    @property
    def order(self) -> range:
        """The input channels from last to first.

        The book's figure stacks the planes this way, with the last on top, and its sum reads from
        top to bottom: the bracket of X[1] comes before that of X[0].
        """
        return range(len(self.padded))[::-1]

    @property
    def groups(self) -> int:
        """The number of groups that input and output channels are divided into."""
        return len(self.padded) // self.kernel.shape[1]

    def inputs_of(self, o: int) -> range:
        """The input channels that output channel o sees, which are those of its group."""
        c_o, per_group = self.kernel.shape[:2]
        first = o * self.groups // c_o * per_group
        return range(first, first + per_group)

    def kernel_name(self, o: int, i: int) -> str:
        """The name of a plane of the kernel: K[0, 1] or, if there is no axis of outputs, K[1].

        The name is the index into K, so that readers can look it up. With groups, i counts the
        input channels of the group: that of a depthwise kernel is always 0.
        """
        return f"K[{o}, {i}]" if self.stacked else f"K[{i}]"

    def output_name(self, o: int) -> str:
        """The name of a plane of the output: Y[0] or, if there is no axis of outputs, Y."""
        return f"Y[{o}]" if self.stacked else "Y"

    def output_channel(self, value: Any) -> int:
        """The argument `output_channel` as an int; raise an error unless there is such a one."""
        o = _checks.integer("output_channel", value, 0)
        if o >= len(self.output):
            raise ValueError(
                f"output_channel is out of range: expected one of {len(self.output)}, counted from "
                f"0, received output_channel={o}"
            )
        return o

    def spell_out(self, o: int, position: int) -> str:
        """The sum behind an element of output channel o, as the book spells it out.

        Each input channel that it sees has a bracket, in their `order`. A single product or a
        single channel needs none. The sign is ≈ if any number is shown rounded.
        """
        channels = self.inputs_of(o)
        kernel = self.kernel[o].reshape(len(channels), -1)
        seen = [self.padded[c].flat[self.windows[position]] for c in channels]
        total = self.output[o].flat[position]
        sums = [
            "+".join(f"{as_factor(x)}×{as_factor(k)}" for x, k in zip(*factors))
            for factors in reversed(list(zip(seen, kernel)))
        ]
        if kernel.shape[0] > 1 and kernel.shape[1] > 1:
            sums = [f"({products})" for products in sums]
        exact = all(is_shown_exactly(value) for value in (*np.ravel(seen), *kernel.flat, total))
        return f"{'+'.join(sums)} {'=' if exact else '≈'} {format_number(total)}"


def compute_sums(
    X: Any,
    K: Any,
    strides: Any,
    padding: Any,
    dilation: Any,
    limits: Limits,
    groups: Any = 1,
    padding_mode: Any = "zeros",
) -> Sums:
    """Compute the `Sums` of X (c_i, h, w) and K (c_o, c_i / groups, k_h, k_w) or (c_i, k_h, k_w).

    Whatever the dtype and context of the two NDArrays, the sums are computed in float64, as the
    chapter's functions compute them.

    Raises
    ------
    ValueError
        If the ranks or channels are wrong, the kernel is larger than the padded input, the arrays
        exceed `limits`, or `ConvGeometry` rejects a value.
    TypeError
        If X or K isn't an NDArray, or a size isn't an integer.
    """
    geometry = check_convolution(X, K, strides, padding, dilation, limits, groups, padding_mode)
    stacked = K.ndim != 3
    K = K if stacked else K.expand_dims(0)
    groups, (c_o, per_group, k_h, k_w) = geometry.groups, K.shape
    o_h, o_w = geometry.output_shape((1,) + X.shape)[2:]

    X, K = (nd.array(to_numpy(array), cpu(), "float64") for array in (X.expand_dims(0), K))
    padded = pad(nd, X, geometry.pads, geometry.padding_mode)
    inside = pad(nd, nd.ones_like(X), geometry.pads)[0, 0]
    positions = nd.arange(inside.size).reshape((1, 1) + inside.shape)
    windows = nd.im2col(
        positions, kernel=(k_h, k_w), stride=geometry.strides, dilate=geometry.dilation
    )
    # Every output channel's own copy of the input channels that it sees. A group for each of these
    # keeps the channels apart.
    seen = padded.reshape((groups, -1) + inside.shape).repeat(c_o // groups, axis=0)
    seen = seen.reshape((1, -1) + inside.shape)
    summed = replace(geometry, padding=(0, 0), padding_mode="zeros")  # of what is padded already
    n = c_o * per_group
    apart = replace(summed, channels=n, groups=n, in_channels=n)
    parts = definition(nd, seen, K.reshape((-1, 1, k_h, k_w)), None, apart)
    return Sums(
        padded=padded[0].asnumpy(),
        border=inside.asnumpy() == 0,
        kernel=K.asnumpy(),
        parts=parts.reshape((c_o, per_group, o_h, o_w)).asnumpy(),
        output=definition(nd, padded, K, None, summed)[0].asnumpy(),
        windows=windows[0].asnumpy().astype(int).T,
        stacked=stacked,
    )


def check_convolution(
    X: Any,
    K: Any,
    strides: Any,
    padding: Any,
    dilation: Any,
    limits: Limits,
    groups: Any = 1,
    padding_mode: Any = "zeros",
) -> ConvGeometry:
    """Return the geometry of the cross-correlation of X and K; raise as `compute_sums` does."""
    groups = _checks.integer("groups", groups, 1)
    _check_ranks(_checks.ndarray("X", X), _checks.ndarray("K", K), groups)
    weight = K if K.ndim == 4 else K.expand_dims(0)
    _check_channels(X, weight, groups)
    geometry = ConvGeometry(
        len(weight),
        weight.shape[2:],
        strides,
        padding,
        dilation,
        groups,
        len(X),
        padding_mode=padding_mode,
    )
    geometry.output_shape((1,) + X.shape)
    check_limits(X.shape, geometry, limits)
    return geometry


def check_limits(X_shape: Shape, geometry: ConvGeometry, limits: Limits) -> None:
    """Raise a ValueError if the convolution of an input of this shape exceeds the limits."""
    across = max(size + sum(pads) for size, pads in zip(X_shape[1:], geometry.pads))
    products = int(np.prod(geometry.weight_shape[1:]))
    channels = max(geometry.channels, geometry.in_channels)
    if across > limits.across or channels > limits.channels or products > limits.products:
        raise ValueError(
            f"too large to be readable: expected at most {limits.across} rows and columns with "
            f"padding, {limits.channels} input and output channels and {limits.products} products "
            f"in a sum, received X.shape={X_shape}, K.shape={geometry.weight_shape}, "
            f"padding={geometry.padding}"
        )


def to_numpy(array: Any) -> np.ndarray:
    """Return the numbers of an NDArray in float64.

    Not by `astype` first: MXNet can't cast a part, such as y[0], of what a layer has computed.
    """
    if dtypes.name_of(array.dtype) == "bfloat16":
        array = array.astype("float32")  # which NumPy knows
    return array.asnumpy().astype(np.float64)


def format_number(value: float) -> str:
    """An integer in full, any other number with three significant digits, with "−" for a minus."""
    return _format_ascii(value).replace("-", "−")


def _format_ascii(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    if 1e3 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.3g}")  # 1e6 instead of 1e+06


def is_shown_exactly(value: float) -> bool:
    """Whether `format_number` shows the value to within a millionth of it."""
    return math.isnan(value) or math.isclose(float(_format_ascii(value)), value, rel_tol=1e-6)


def as_factor(value: float) -> str:
    """The number, in brackets if it is negative."""
    text = format_number(value)
    return f"({text})" if text.startswith("−") else text


def _check_ranks(X: Any, K: Any, groups: int) -> None:
    """Reject wrong numbers of axes; only with a single group may K lack one for its outputs."""
    expected = f"expected X of shape {_checks.X_AXES[3]}"
    received = _received(X, K, groups)
    ranks = {3: _checks.K_AXES[3], 4: _checks.K_AXES[4]}
    if groups > 1:
        ranks = {4: "(c_o, c_i / groups, k_h, k_w)"}
    if X.ndim == 4:
        raise ValueError(f"X has a batch axis: {expected}, one image such as X[0], {received}")
    if X.ndim != 3 or K.ndim not in ranks:
        raise ValueError(f"{expected} and K of shape {' or '.join(ranks.values())}, {received}")


def _check_channels(X: Any, K: Any, groups: int) -> None:
    """Reject channels that don't match, and say what would make them match."""
    c_i, (c_o, per_group) = len(X), K.shape[:2]
    if c_i == per_group * groups:
        return
    in_groups = f" in each of {groups} groups" * (groups > 1)
    fits = [f"groups={g}" for g in range(1, c_i + 1) if g * per_group == c_i and c_o % g == 0]
    fits += ["X.transpose((2, 0, 1))"] * (X.shape[2] == per_group * groups)  # channels last
    hint = f" ({' or '.join(fits)} would fit)" * bool(fits)
    raise ValueError(
        f"X has {c_i} channels and K has {per_group}{in_groups}; expected the same number{hint}, "
        f"{_received(X, K, groups)}"
    )


def _received(X: Any, K: Any, groups: int) -> str:
    return f"received X.shape={X.shape}, K.shape={K.shape}" + f", groups={groups}" * (groups > 1)

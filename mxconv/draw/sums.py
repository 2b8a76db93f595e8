"""The data behind a drawing: every sum of one small cross-correlation, and how to write it out."""

import math
import re
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from mxnet import cpu, nd

from .. import _checks
from ..algorithms.definition import definition
from ..algorithms.ops import pad
from ..geometry import ConvGeometry


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
        The input, surrounded by zeros.
    border : array of bool, of shape (height, width)
        Where those zeros are.
    kernel : array of shape (c_o, c_i, k_h, k_w)
    parts : array of shape (c_o, c_i, o_h, o_w)
        The cross-correlation of each input channel with its part of each kernel.
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

    def kernel_name(self, o: int, c: int) -> str:
        """The name of a plane of the kernel: K[0, 1] or, if there is no axis of outputs, K[1]."""
        return f"K[{o}, {c}]" if self.stacked else f"K[{c}]"

    def output_name(self, o: int) -> str:
        """The name of a plane of the output: Y[0] or, if there is no axis of outputs, Y."""
        return f"Y[{o}]" if self.stacked else "Y"

    def spell_out(self, o: int, position: int) -> str:
        """The sum behind an element of output channel o, as the book spells it out.

        Each input channel has a bracket, in their `order`. A single product or a single channel
        needs none. The sign is ≈ if any number is shown rounded.
        """
        c_i = len(self.padded)
        kernel = self.kernel[o].reshape(c_i, -1)
        seen = self.padded.reshape(c_i, -1)[:, self.windows[position]]
        total = self.output[o].flat[position]
        sums = [
            "+".join(f"{_as_factor(x)}×{_as_factor(k)}" for x, k in zip(seen[c], kernel[c]))
            for c in self.order
        ]
        if c_i > 1 and kernel.shape[1] > 1:
            sums = [f"({products})" for products in sums]
        exact = all(_is_shown_exactly(value) for value in (*seen.flat, *kernel.flat, total))
        return f"{'+'.join(sums)} {'=' if exact else '≈'} {format_number(total)}"


def compute_sums(X: Any, K: Any, strides: Any, padding: Any, dilation: Any, limits: Limits) -> Sums:
    """Compute the `Sums` of X (c_i, h, w) and K (c_i, k_h, k_w) or (c_o, c_i, k_h, k_w).

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
    stacked = _checks.ndarray("K", K).ndim != 3
    K = K if stacked else K.expand_dims(0)
    _check_shapes(_checks.ndarray("X", X), K)
    c_o, c_i, k_h, k_w = K.shape
    geometry = ConvGeometry(c_o, (k_h, k_w), strides, padding, dilation, in_channels=c_i)
    o_h, o_w = geometry.output_shape((1,) + X.shape)[2:]
    _check_limits(X, geometry, limits)

    X, K = (array.as_in_context(cpu()).astype("float64") for array in (X.expand_dims(0), K))
    padded = pad(nd, X, geometry.pads)
    inside = pad(nd, nd.ones_like(X), geometry.pads)[0, 0]
    positions = nd.arange(inside.size).reshape((1, 1) + inside.shape)
    windows = nd.im2col(
        positions, kernel=(k_h, k_w), stride=geometry.strides, dilate=geometry.dilation
    )
    per_channel = replace(geometry, channels=c_i * c_o, groups=c_i)  # a group per input channel
    parts = definition(nd, X, K.swapaxes(0, 1).reshape((-1, 1, k_h, k_w)), None, per_channel)
    return Sums(
        padded=padded[0].asnumpy(),
        border=inside.asnumpy() == 0,
        kernel=K.asnumpy(),
        parts=parts.reshape((c_i, c_o, o_h, o_w)).swapaxes(0, 1).asnumpy(),
        output=definition(nd, X, K, None, geometry)[0].asnumpy(),
        windows=windows[0].asnumpy().astype(int).T,
        stacked=stacked,
    )


def format_number(value: float) -> str:
    """An integer in full, any other number with three significant digits, with "−" for a minus."""
    return _format_ascii(value).replace("-", "−")


def _format_ascii(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    if 1e3 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.3g}")  # 1e6 instead of 1e+06


def _is_shown_exactly(value: float) -> bool:
    """Whether `format_number` shows the value to within a millionth of it."""
    return math.isnan(value) or math.isclose(float(_format_ascii(value)), value, rel_tol=1e-6)


def _as_factor(value: float) -> str:
    """The number, in brackets if it is negative."""
    text = format_number(value)
    return f"({text})" if text.startswith("−") else text


def _check_shapes(X: Any, K: Any) -> None:
    received = f"received X.shape={X.shape}, K.shape={K.shape}"
    if X.ndim != 3 or K.ndim != 4:
        raise ValueError(
            f"expected X of shape {_checks.X_AXES[3]} and K of shape {_checks.K_AXES[3]} or "
            f"{_checks.K_AXES[4]}, {received}"
        )
    if X.shape[0] != K.shape[1]:
        raise ValueError(
            f"X has {X.shape[0]} channels and K has {K.shape[1]}; expected the same number, "
            f"{received}"
        )


def _check_limits(X: Any, geometry: ConvGeometry, limits: Limits) -> None:
    across = max(size + sum(pads) for size, pads in zip(X.shape[1:], geometry.pads))
    products = int(np.prod(geometry.weight_shape[1:]))
    channels = max(geometry.channels, geometry.in_channels)
    if across > limits.across or channels > limits.channels or products > limits.products:
        raise ValueError(
            f"too large to be readable: expected at most {limits.across} rows and columns with "
            f"padding, {limits.channels} input and output channels and {limits.products} products "
            f"in a sum, received X.shape={X.shape}, K.shape={geometry.weight_shape}, "
            f"padding={geometry.padding}"
        )

"""What is drawn: every sum of one small cross-correlation, computed by mxconv, and how it reads."""

import math
import re
from collections import namedtuple
from dataclasses import dataclass, replace

import numpy as np
from mxnet import cpu, nd

from .. import _checks
from ..algorithms.definition import definition
from ..algorithms.steps import pad
from ..geometry import ConvGeometry

# The most that can be read: rows or columns with their padding, channels on either side, and
# products in one sum.
Limits = namedtuple("Limits", "across channels products")


@dataclass(frozen=True)
class Sums:
    """A cross-correlation taken apart, as NumPy arrays: float64, and ints for positions.

    Attributes
    ----------
    padded : array of shape (c_i, height, width)
        The input and the zeros around it.
    border : array of bool, of shape (height, width)
        Where those zeros are.
    kernel : array of shape (c_o, c_i, k_h, k_w)
    parts : array of shape (c_o, c_i, o_h, o_w)
        The cross-correlation of each input channel with its part of each kernel.
    output : array of shape (c_o, o_h, o_w)
        Their sums over the input channels.
    windows : array of int, of shape (o_h o_w, k_h k_w)
        What each output element sees, as positions in a padded plane; all are counted row by row.
    stacked : bool
        Whether K had an axis for the output channels, so that names have their index.
    """

    padded: np.ndarray
    border: np.ndarray
    kernel: np.ndarray
    parts: np.ndarray
    output: np.ndarray
    windows: np.ndarray
    stacked: bool

    @property
    def order(self):
        """The input channels from the last to the first.

        The book stacks the planes of its figure so, the last on top, and writes the sum from the
        top down: the bracket of X[1] before that of X[0].
        """
        return range(len(self.padded))[::-1]

    def kernel_name(self, o, c):
        return f"K[{o}, {c}]" if self.stacked else f"K[{c}]"

    def output_name(self, o):
        return f"Y[{o}]" if self.stacked else "Y"

    def written(self, o, element):
        """The sum of output channel o at the position `element`, as the book spells it out.

        A bracket per input channel, in their `order`; no brackets around single products, or
        around the only channel. The sign is ≈ where a number is shown rounded.
        """
        c_i = len(self.padded)
        kernel = self.kernel[o].reshape(c_i, -1)
        seen = self.padded.reshape(c_i, -1)[:, self.windows[element]]
        total = self.output[o].flat[element]
        sums = [
            "+".join(f"{_factor(x)}×{_factor(k)}" for x, k in zip(seen[c], kernel[c]))
            for c in self.order
        ]
        if c_i > 1 and kernel.shape[1] > 1:
            sums = [f"({products})" for products in sums]
        exact = all(_exact(value) for value in (*seen.flat, *kernel.flat, total))
        return f"{'+'.join(sums)} {'=' if exact else '≈'} {number(total)}"


def compute(X, K, strides, padding, dilation, limits):
    """The `Sums` of an NDArray X (c_i, h, w) and a K of (c_i, k_h, k_w) or (c_o, c_i, k_h, k_w).

    Whatever their dtype and context, the sums are those of the chapter's functions in float64.

    Raises
    ------
    ValueError
        Wrong ranks or channels, a kernel larger than the padded input, arrays beyond `limits`,
        and what `ConvGeometry` refuses.
    TypeError
        Arguments that aren't NDArrays; sizes that aren't integers.
    """
    stacked = _checks.ndarray("K", K).ndim != 3
    K = K if stacked else K.expand_dims(0)
    _check_shapes(_checks.ndarray("X", X), K)
    c_o, c_i, k_h, k_w = K.shape
    geometry = ConvGeometry(c_o, (k_h, k_w), strides, padding, dilation, in_channels=c_i)
    o_h, o_w = geometry.output_shape((1,) + X.shape)[2:]
    _check_limits(X, geometry, limits)

    X, K = (array.as_in_context(cpu()).astype("float64") for array in (X.expand_dims(0), K))
    padded = pad(nd, X, geometry.margins)
    inside = pad(nd, nd.ones_like(X), geometry.margins)[0, 0]
    positions = nd.arange(inside.size).reshape((1, 1) + inside.shape)
    windows = nd.im2col(
        positions, kernel=(k_h, k_w), stride=geometry.strides, dilate=geometry.dilation
    )
    apart = replace(geometry, channels=c_i * c_o, groups=c_i)  # a group per input channel
    parts = definition(nd, X, K.swapaxes(0, 1).reshape((-1, 1, k_h, k_w)), None, apart)
    return Sums(
        padded=padded[0].asnumpy(),
        border=inside.asnumpy() == 0,
        kernel=K.asnumpy(),
        parts=parts.reshape((c_i, c_o, o_h, o_w)).swapaxes(0, 1).asnumpy(),
        output=definition(nd, X, K, None, geometry)[0].asnumpy(),
        windows=windows[0].asnumpy().astype(int).T,
        stacked=stacked,
    )


def number(value):
    """An integer in full, any other number with three significant digits; "−" for a minus."""
    return _plain(value).replace("-", "−")


def _plain(value):
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    if 1e3 <= abs(value) < 1e6:
        return f"{value:.0f}"
    return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.3g}")  # 1e6 for 1e+06


def _exact(value):
    """Whether what `number` shows is the value, to a millionth of it."""
    return math.isnan(value) or math.isclose(float(_plain(value)), value, rel_tol=1e-6)


def _factor(value):
    text = number(value)
    return f"({text})" if text.startswith("−") else text


def _check_shapes(X, K):
    received = f"received X.shape={X.shape}, K.shape={K.shape}"
    if X.ndim != 3 or K.ndim != 4:
        raise ValueError(
            f"expected X of shape {_checks.X_AXES[3]} and K of shape {_checks.K_AXES[3]} or "
            f"{_checks.K_AXES[4]}, {received}"
        )
    if X.shape[0] != K.shape[1]:
        raise ValueError(
            f"X has {X.shape[0]} channels and K has {K.shape[1]}, expected as many, {received}"
        )


def _check_limits(X, geometry, limits):
    across = max(size + sum(margin) for size, margin in zip(X.shape[1:], geometry.margins))
    products = int(np.prod(geometry.weight_shape[1:]))
    channels = max(geometry.channels, geometry.in_channels)
    if across > limits.across or channels > limits.channels or products > limits.products:
        raise ValueError(
            f"too large to be read: expected at most {limits.across} rows and columns with their "
            f"padding, {limits.channels} input and output channels and {limits.products} products "
            f"in a sum, received X.shape={X.shape}, K.shape={geometry.weight_shape}, "
            f"padding={geometry.padding}"
        )

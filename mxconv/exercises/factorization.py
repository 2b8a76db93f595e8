"""One convolution, split into two: the converse of `merge_convolutions`.

In general, it can't be done. A one-dimensional kernel is a polynomial, which `factor_kernel_1d`
factors where possible. A two-dimensional kernel has more degrees of freedom than two smaller ones
together. With enough channels in between, any kernel can be split (`expand_kernel`).
"""

from functools import reduce
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from mxnet import nd

from .. import _checks, dtypes


def factor_kernel_1d(kernel: Any, length: int) -> Optional[Tuple[Any, Any]]:
    """Factor a one-dimensional kernel into two real ones, the first of `length` taps.

    Merging two kernels multiplies the polynomials that have them as coefficients, so factoring a
    kernel means dividing the polynomial's roots between the factors. Complex roots come in
    conjugate pairs, which must stay together. A kernel without real roots therefore has no factor
    of even length; every other case has a solution. A zero at an end of the kernel counts as a
    real root.

    Parameters
    ----------
    kernel : NDArray of shape (k,)
    length : int
        The number of taps of the first factor, from 1 to k.

    Returns
    -------
    (NDArray of shape (length,), NDArray of shape (k - length + 1,)), or None
        The two factors, with the dtype and context of `kernel`; the first is scaled so that its
        largest element is 1. Merged, they give the kernel up to rounding. None if there are no
        such factors.

    Raises
    ------
    ValueError
        If the kernel has another rank, no elements or elements that aren't finite, or if the
        length is out of range.
    TypeError
        If the kernel isn't an NDArray of floats, or the length isn't an integer.

    See Also
    --------
    merge_convolutions : The converse.
    expand_kernel : For two-dimensional kernels, with more channels in between.

    Notes
    -----
    Rounding can turn a double real root into a pair of complex conjugates. An extremum r of the
    polynomial p is therefore taken for a double root if changing every element of the kernel by a
    relative ``k eps`` at most can make p(r) zero::

        |p(r)| <= k eps sum over i of |kernel[i]| |r|^(k - 1 - i)

    Here eps is the spacing of the dtype's numbers at 1. A kernel without real roots that is this
    close to one with a double root is factored like it.

    Examples
    --------
    >>> first, second = factor_kernel_1d(nd.array([1, 3, 2]), 2)
    >>> print(first.asnumpy(), second.asnumpy())
    [1. 1.] [1. 2.]
    >>> print(factor_kernel_1d(nd.array([1, 0, 1]), 2))
    None
    """
    taps = _finite_taps(kernel)
    if _checks.integer("length", length, 1) > len(taps):
        raise ValueError(
            f"length is out of range: expected at most the {len(taps)} taps of the kernel, "
            f"received length={length}"
        )
    linear, quadratic = _real_factors(taps)
    if not linear and length % 2 == 0:
        root = _double_root(taps, tolerance=len(taps) * float(np.finfo(kernel.dtype).eps))
        if root is None:
            return None
        double = [np.array([1, -root])] * 2
        linear, quadratic = _real_factors(_quotient(taps, _product(double)))
        linear += double
    n_quadratic = min(len(quadratic), (length - 1) // 2)
    n_linear = length - 1 - 2 * n_quadratic
    first = _product(_pick_evenly(quadratic, n_quadratic) + _pick_evenly(linear, n_linear))
    first /= first[np.argmax(np.abs(first))]
    like = dict(ctx=kernel.context, dtype=kernel.dtype)
    return nd.array(first, **like), nd.array(_quotient(taps, first), **like)


def _finite_taps(kernel: Any) -> np.ndarray:
    """The elements of a one-dimensional kernel of finite floats, in float64."""
    if np.dtype(_checks.ndarray("kernel", kernel).dtype).kind != "f":
        raise TypeError(
            f"kernel has the wrong dtype: expected floats, received {dtypes.name_of(kernel.dtype)}"
        )
    if kernel.ndim != 1 or 0 in kernel.shape:
        raise ValueError(
            "kernel has the wrong shape: expected a non-empty kernel of shape (k,), received "
            f"kernel.shape={kernel.shape}"
        )
    taps = kernel.asnumpy().astype(np.float64)
    if not np.isfinite(taps).all():
        first = np.argmin(np.isfinite(taps))
        raise ValueError(
            f"expected a kernel of finite elements, received kernel[{first}]={taps[first]} in a "
            f"kernel of shape {kernel.shape}"
        )
    return taps


def _real_factors(taps: np.ndarray) -> Tuple[List[np.ndarray], List[np.ndarray]]:
    """The linear and the quadratic real factors of a polynomial, each in the order of its roots."""
    at_infinity = len(taps) - len(np.trim_zeros(taps, "f"))
    roots = np.roots(taps)
    real = np.sort(roots[roots.imag == 0].real)
    upper = sorted(roots[roots.imag > 0], key=np.angle)
    linear = [np.array([0, 1])] * at_infinity + [np.array([1, -r]) for r in real]
    return linear, [np.array([1, -2 * z.real, abs(z) ** 2]) for z in upper]


def _double_root(taps: np.ndarray, tolerance: float) -> Optional[float]:
    """The extremum where a polynomial is closest to zero, or None if that isn't close enough.

    The distance is the relative change of the taps that would make the polynomial zero there.
    """
    roots = np.roots(np.polyder(taps))
    extrema = roots[roots.imag == 0].real
    change = np.abs(np.polyval(taps, extrema)) / np.polyval(np.abs(taps), np.abs(extrema))
    best = np.argmin(change)
    return extrema[best] if change[best] <= tolerance else None


def _product(factors: Sequence[np.ndarray]) -> np.ndarray:
    return reduce(np.convolve, factors, np.ones(1))


def _quotient(taps: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The kernel whose product with `first` is closest to `taps`."""
    columns = [np.convolve(first, tap) for tap in np.eye(len(taps) - len(first) + 1)]
    return np.linalg.lstsq(np.stack(columns, axis=1), taps, rcond=None)[0]


def _pick_evenly(factors: Sequence[np.ndarray], n: int) -> List[np.ndarray]:
    """Pick n of the factors, evenly spaced in their order.

    Neighboring roots in one factor would make its elements far larger than the kernel's.
    """
    steps = [i * n // len(factors) for i in range(len(factors) + 1)] if factors else []
    return [f for f, low, high in zip(factors, steps, steps[1:]) if high > low]


def expand_kernel(kernel: Any, size: Any) -> Tuple[Any, Any]:
    """Split any kernel exactly into two, the first of spatial `size`, with more channels between.

    The first kernel only copies: for every input channel c and every tap a of its window, one
    channel in between holds channel c shifted by a. The second kernel, at its tap b, thereby
    reaches the input at u = a + b.

    Several pairs (a, b) reach the same u. The element of `kernel` at u goes to one of them, the
    pair with the largest a on each axis, and the others get 0. So of the products that
    `merge_convolutions` adds up for u, only one isn't zero, and nothing is rounded.

    Parameters
    ----------
    kernel : NDArray of shape (c_o, c_i, k_h, k_w)
    size : int or pair of int
        Height and width (k1_h, k1_w) of the first kernel, at most those of `kernel`.

    Returns
    -------
    first : NDArray of shape (c_mid, c_i, k1_h, k1_w), c_mid = c_i k1_h k1_w, one-hot
    second : NDArray of shape (c_o, c_mid, k_h - k1_h + 1, k_w - k1_w + 1)

    Raises
    ------
    ValueError
        If the kernel has another rank, or the size is out of range.
    TypeError
        If the kernel isn't an NDArray of a dtype that MXNet convolves, or the size isn't made of
        integers.

    See Also
    --------
    merge_convolutions : The converse.
    factor_kernel_1d : For one-dimensional kernels, without more channels.

    Examples
    --------
    >>> first, second = expand_kernel(nd.array([[[[1, 2], [3, 4]]]]), 2)
    >>> first.shape, second.shape
    ((4, 1, 2, 2), (1, 4, 1, 1))
    >>> print(second.asnumpy().ravel())
    [1. 2. 3. 4.]
    """
    c_o, c_i = _checks.kernel("kernel", kernel).shape[:2]
    size = _checks.pair("size", size, 1)
    rest = tuple(k - k1 + 1 for k, k1 in zip(kernel.shape[2:], size))
    if min(rest) < 1:
        raise ValueError(
            f"size is out of range: expected at most the kernel's {kernel.shape[2:]}, received "
            f"size={size}"
        )
    like = dict(ctx=kernel.context, dtype=kernel.dtype)
    c_mid = c_i * size[0] * size[1]
    first = nd.eye(c_mid, **like).reshape((c_mid, c_i) + size)
    reached = nd.im2col(kernel, kernel=size)  # (c_o, c_mid, k2_h k2_w): tap a + b for (c, a) and b
    holds = np.kron(*(_holds_tap(k1, k2) for k1, k2 in zip(size, rest)))
    second = nd.broadcast_mul(reached, nd.array(np.tile(holds, (1, c_i, 1)), **like))
    return first, second.reshape((c_o, c_mid) + rest)


def _holds_tap(k1: int, k2: int) -> np.ndarray:
    """A (k1, k2) boolean array: whether the pair (a, b), with the largest a, holds tap a + b."""
    a, b = np.ogrid[:k1, :k2]
    return (b == 0) | (a == k1 - 1)

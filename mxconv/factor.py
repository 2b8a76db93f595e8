"""One convolution as two: the converse of `compose`, in the chapter's first problem.

In general it is false. A kernel of one dimension is a polynomial, which `factor` divides where that
can be; a kernel of two has more degrees of freedom than two smaller ones. It becomes true with
channels enough between the two (`decompose`).
"""

from functools import reduce

import numpy as np
from mxnet import nd

from . import _checks, dtypes


def factor(kernel, length):
    """Two real one-dimensional kernels that compose to `kernel`, the first of `length`, or None.

    Composing them multiplies the polynomials whose coefficients they are, so to factor is to share
    out the roots. Conjugate roots stay together, so that a kernel without real roots has no factor
    of even length; nothing else is in the way. A zero at an end of the kernel is a real root.

    Rounding may turn a double real root into a pair of conjugates. So an extremum r of the
    polynomial p counts as a double root if p(r) = 0 after a relative change of the elements by at
    most k eps, that is if |p(r)| <= k eps sum |kernel[i]| |r|^(k-1-i), where eps is the spacing of
    the dtype's numbers at 1. A kernel that close to one with a real root is taken for it.

    Parameters
    ----------
    kernel : NDArray of shape (k,)
    length : int
        Taps of the first factor, from 1 to k.

    Returns
    -------
    (NDArray of shape (length,), NDArray of shape (k - length + 1,)), or None
        Of the kernel's dtype and context, the largest element of the first being 1. Composed they
        give the kernel up to rounding.

    Raises
    ------
    ValueError
        A kernel of another rank or without elements, elements that aren't finite, or a length out
        of range.
    TypeError
        A kernel that isn't an NDArray of floats, or a length that isn't an integer.

    Examples
    --------
    >>> first, second = factor(nd.array([1, 3, 2]), 2)
    >>> print(first.asnumpy(), second.asnumpy())
    [1. 1.] [1. 2.]
    >>> print(factor(nd.array([1, 0, 1]), 2))
    None
    """
    taps = _taps(kernel)
    if _checks.integer("length", length, 1) > len(taps):
        raise ValueError(
            f"length is out of range: expected at most the {len(taps)} taps of the kernel, "
            f"received length={length}"
        )
    singles, pairs = _real_factors(taps)
    if not singles and length % 2 == 0:
        root = _touching_root(taps, tolerance=len(taps) * np.finfo(kernel.dtype).eps)
        if root is None:
            return None
        double = [np.array([1, -root])] * 2
        singles, pairs = _real_factors(_quotient(taps, _product(double)))
        singles += double
    n_pairs = min(len(pairs), (length - 1) // 2)
    n_singles = length - 1 - 2 * n_pairs
    first = _product(_spread(pairs, n_pairs) + _spread(singles, n_singles))
    first /= first[np.argmax(np.abs(first))]
    like = dict(ctx=kernel.context, dtype=kernel.dtype)
    return nd.array(first, **like), nd.array(_quotient(taps, first), **like)


def decompose(kernel, size):
    """Two kernels, the first of spatial `size`, that compose to any kernel exactly.

    The first passes on every input channel c, shifted by every tap a of its window, in channels of
    their own. The second reaches the tap u = a + b from there by its own tap b. Each u is placed in
    one of the pairs (a, b) of that sum, the one with the largest a per axis, and all others are 0.
    So of the products that `compose` adds for u one isn't zero, and nothing is rounded.

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
        A kernel of another rank, or a size out of range.
    TypeError
        A kernel that isn't an NDArray of a dtype that MXNet convolves, or a size of other types.
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
    placed = np.kron(*(_placed(k1, k2) for k1, k2 in zip(size, rest)))
    second = nd.broadcast_mul(reached, nd.array(np.tile(placed, (1, c_i, 1)), **like))
    return first, second.reshape((c_o, c_mid) + rest)


def _taps(kernel):
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
            f"expected a kernel of finite elements, received kernel[{first}]={taps[first]} in one "
            f"of shape {kernel.shape}"
        )
    return taps


def _real_factors(taps):
    """The linear and the quadratic real factors of a polynomial, each in the order of its roots."""
    at_infinity = len(taps) - len(np.trim_zeros(taps, "f"))
    roots = np.roots(taps)
    real = np.sort(roots[roots.imag == 0].real)
    upper = sorted(roots[roots.imag > 0], key=np.angle)
    singles = [np.array([0, 1])] * at_infinity + [np.array([1, -r]) for r in real]
    return singles, [np.array([1, -2 * z.real, abs(z) ** 2]) for z in upper]


def _touching_root(taps, tolerance):
    """The extremum where a polynomial is zero up to a relative change of its taps, or None."""
    roots = np.roots(np.polyder(taps))
    extrema = roots[roots.imag == 0].real
    change = np.abs(np.polyval(taps, extrema)) / np.polyval(np.abs(taps), np.abs(extrema))
    best = np.argmin(change)
    return extrema[best] if change[best] <= tolerance else None


def _product(factors):
    return reduce(np.convolve, factors, np.ones(1))


def _quotient(taps, first):
    """The kernel whose product with `first` is closest to `taps`."""
    columns = [np.convolve(first, tap) for tap in np.eye(len(taps) - len(first) + 1)]
    return np.linalg.lstsq(np.stack(columns, axis=1), taps, rcond=None)[0]


def _spread(factors, n):
    """n of the factors, evenly apart: all roots of one region would make far too large a factor."""
    steps = [i * n // len(factors) for i in range(len(factors) + 1)] if factors else []
    return [f for f, low, high in zip(factors, steps, steps[1:]) if high > low]


def _placed(k1, k2):
    """(k1, k2) of booleans: whether the pair (a, b) holds the tap a + b, a being the largest."""
    a, b = np.ogrid[:k1, :k2]
    return (b == 0) | (a == k1 - 1)

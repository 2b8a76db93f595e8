"""How far floating-point results may differ: the chapter's Y1 and Y2, and any two algorithms."""

import numpy as np

from . import _checks
from .reference import corr2d_multi_in_out


def rounding_bound(X, K):
    """The largest error that rounding can give an output of the cross-correlation of X and K.

    An output is a sum of n = c_i k_h k_w products. Computed in any order, with or without fused
    multiply-add, it is within gamma_n sum|K||X| of the exact value, where
    gamma_n = n u / (1 - n u) and u is half the distance from 1 to the next number of the dtype
    (N. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., section 3.1; underflow
    aside). Two results, each computed in its own way, are within twice that of each other.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_o, c_i, k_h, k_w)
        Of one floating-point dtype, whose rounding is meant.

    Returns
    -------
    NDArray of shape (c_o, h - k_h + 1, w - k_w + 1), in float64

    Raises
    ------
    ValueError, TypeError
        As `corr2d_multi_in_out`; TypeError for a dtype that isn't floating-point.

    Examples
    --------
    >>> K = nd.ones((1, 2, 1, 1))
    >>> (bound,) = rounding_bound(nd.ones((2, 1, 1)), K).asnumpy().ravel()
    >>> print(f"{bound / 2**-24:.7f}")  # two terms of magnitude 1: 2 u * 2, and a little more
    4.0000005
    """
    _checks.operands("rounding_bound", X, K, 3, 4)
    if not np.issubdtype(X.dtype, np.floating):
        raise TypeError(
            "rounding_bound: expected X and K of a floating-point dtype, received "
            f"{np.dtype(X.dtype)}"
        )
    magnitude = corr2d_multi_in_out(X.abs().astype("float64"), K.abs().astype("float64"))
    return magnitude * gamma(int(np.prod(K.shape[1:])), np.finfo(X.dtype).eps / 2)


def gamma(n, unit):
    """n u / (1 - n u): the relative rounding of a sum of n products, u being the unit."""
    if n * unit >= 1:
        raise ValueError(f"rounding_bound: {n} terms of rounding unit {unit} have no finite bound")
    return float(n * unit / (1 - n * unit))

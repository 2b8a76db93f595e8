"""How far floating-point results may differ: the chapter's Y1 and Y2, and any two algorithms."""

from typing import Any

import numpy as np

from .. import _checks
from ..reference import corr2d_multi_in_out


def rounding_error_bound(X: Any, K: Any) -> Any:
    """Bound the rounding error of each output of the cross-correlation of X and K.

    An output is a sum of n = c_i k_h k_w products. Computed in any order, with or without fused
    multiply-add, and barring underflow, it differs from the exact value by at most::

        gamma_n sum |K| |X|, where gamma_n = n u / (1 - n u)

    Here u, the unit roundoff, is half the distance from 1 to the dtype's next number. Two results,
    each computed in its own way, differ by at most twice the bound.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_o, c_i, k_h, k_w)
        Both of the floating-point dtype that the computation rounds to.

    Returns
    -------
    NDArray of shape (c_o, h - k_h + 1, w - k_w + 1)
        In float64.

    Raises
    ------
    ValueError
        As in `corr2d_multi_in_out`, and if the sums have so many terms that there is no bound.
    TypeError
        As in `corr2d_multi_in_out`, and if the dtype isn't floating-point.

    References
    ----------
    N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., SIAM, 2002,
    section 3.1.

    Examples
    --------
    >>> K = nd.ones((1, 2, 1, 1))
    >>> (bound,) = rounding_error_bound(nd.ones((2, 1, 1)), K).asnumpy().ravel()
    >>> print(f"{bound / 2**-24:.7f}")  # two terms of magnitude 1: 2 u * 2, and a little more
    4.0000005
    """
    _checks.operands("rounding_error_bound", X, K, 3, 4)
    if not np.issubdtype(X.dtype, np.floating):
        raise TypeError(
            "rounding_error_bound: expected X and K of a floating-point dtype, received "
            f"{np.dtype(X.dtype)}"
        )
    magnitude = corr2d_multi_in_out(X.abs().astype("float64"), K.abs().astype("float64"))
    return magnitude * gamma_n(int(np.prod(K.shape[1:])), float(np.finfo(X.dtype).eps) / 2)


def gamma_n(n: float, unit: float) -> float:
    """Return n u / (1 - n u), the relative rounding error of a sum of n products.

    `unit` is u, the unit roundoff. Raises ValueError if n u isn't below 1.
    """
    if n * unit >= 1:
        raise ValueError(
            f"rounding_error_bound: expected fewer than {1 / unit:g} terms in a sum, as more have "
            f"no finite bound with a unit roundoff of {unit:g}, received {n}"
        )
    return float(n * unit / (1 - n * unit))

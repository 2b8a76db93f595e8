"""The definition: the four functions of the chapter "Multiple Input and Output Channels".

Names, arguments and bodies follow *Dive into Deep Learning* (see NOTICE). `corr2d` comes from the
section before it. Arguments are NDArrays; the result keeps their dtype and context, and can be
differentiated. A layer passes arrays that it has split into `Split` lists instead, X into planes
and K down to its taps; with these the same functions take a batch, and trace into a symbolic graph.

What the book's code passes over in silence raises here: a different number of channels, a wrong
rank, a kernel larger than the input, mixed dtypes or contexts.
"""

from mxnet import nd, sym

from . import _checks


class Split(list):
    """An array split along its first axis by a layer, which has checked its shape."""


def corr2d(X, K):
    """Two-dimensional cross-correlation, as a sum over the taps of the kernel.

    Every tap multiplies the part of X that it meets while the window slides, so that one product
    serves all outputs; element for element the sum is that of the sliding window.

    Parameters
    ----------
    X : NDArray of shape (h, w)
    K : NDArray of shape (k_h, k_w)

    Returns
    -------
    NDArray of shape (h - k_h + 1, w - k_w + 1)

    Raises
    ------
    ValueError
        A wrong rank, a kernel larger than the input, or different contexts.
    TypeError
        Arguments that aren't NDArrays of one dtype.

    Examples
    --------
    >>> X = nd.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    >>> print(corr2d(X, nd.array([[0, 1], [2, 3]])))
    <BLANKLINE>
    [[19. 25.]
     [37. 43.]]
    <NDArray 2x2 @cpu(0)>
    """
    _check("corr2d", X, K, 2, 2)
    k_h, k_w = len(K), len(K[0])
    products = []
    for a in range(k_h):
        # A Symbol has no shape, so the end is counted from the far side: k_h - 1 - a rows remain.
        rows = X.slice_axis(axis=-2, begin=a, end=a - (k_h - 1) or None)
        for b in range(k_w):
            met = rows.slice_axis(axis=-1, begin=b, end=b - (k_w - 1) or None)
            products.append(_operators(X).broadcast_mul(K[a][b], met))
    return _operators(X).add_n(*products)


def corr2d_multi_in(X, K):
    """Cross-correlation with several input channels: one per channel, then their sum.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_i, k_h, k_w)

    Returns
    -------
    NDArray of shape (h - k_h + 1, w - k_w + 1)

    Raises
    ------
    ValueError, TypeError
        As `corr2d`, and ValueError for a different number of channels.
    """
    _check("corr2d_multi_in", X, K, 3, 3)
    Y = [corr2d(x, k) for x, k in zip(X, K)]
    return _operators(Y[0]).add_n(*Y)


def corr2d_multi_in_out(X, K):
    """Cross-correlation with several output channels: each has a kernel of its own over all of X.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_o, c_i, k_h, k_w)

    Returns
    -------
    NDArray of shape (c_o, h - k_h + 1, w - k_w + 1)

    Raises
    ------
    ValueError, TypeError
        As `corr2d_multi_in`.
    """
    _check("corr2d_multi_in_out", X, K, 3, 4)
    Y = [corr2d_multi_in(X, k) for k in K]
    return _operators(Y[0]).stack(*Y)


def corr2d_multi_in_out_1x1(X, K):
    """The 1x1 cross-correlation as the matrix product of a fully connected layer.

    Pixels are the examples, channels their features.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_o, c_i, 1, 1)

    Returns
    -------
    NDArray of shape (c_o, h, w)

    Raises
    ------
    ValueError
        As `corr2d_multi_in_out`, and for a kernel that isn't 1x1.
    TypeError
        As `corr2d_multi_in_out`, and for a dtype that MXNet has no matrix product for.
    """
    _check("corr2d_multi_in_out_1x1", X, K, 3, 4)
    _checks.one_by_one(X, K)
    c_i, h, w = X.shape
    c_o = K.shape[0]
    X = X.reshape((c_i, h * w))
    K = K.reshape((c_o, c_i))
    Y = nd.dot(K, X)  # the matrix multiplication of the fully connected layer
    return Y.reshape((c_o, h, w))


def _check(function, X, K, x_rank, k_rank):
    if not isinstance(K, Split):
        _checks.operands(function, X, K, x_rank, k_rank)


def _operators(x):
    """The module of operators for x: `nd` where it is an array, `sym` where it is traced."""
    return sym if isinstance(x, sym.Symbol) else nd

"""The definition: the functions of the chapter "Multiple Input and Output Channels".

`corr2d_multi_in`, `corr2d_multi_in_out` and `corr2d_multi_in_out_1x1` have the book's names,
arguments and bodies (see NOTICE). `corr2d` comes from the section before the chapter; here it is
mxconv's own, written in two ways: `corr2d_loops` slides the window over the input, and `corr2d`
sums over the kernel, which autograd can follow.

Arguments and results are NDArrays; a result has the dtype and the context of its arguments. The
book's code silently accepts some mistakes, such as different numbers of channels. Here the
decorator `_checked` rejects them before the body runs. The algorithm 'definition' of a layer runs
the same bodies on lists of planes and taps, also on Symbols.

References
----------
A. Zhang, Z. C. Lipton, M. Li and A. J. Smola, *Dive into Deep Learning*, chapter "Multiple Input
and Output Channels", MXNet Gluon edition, November 2018.
"""

import functools
from typing import Callable

from mxnet import nd

from . import _checks

Function = Callable[[nd.NDArray, nd.NDArray], nd.NDArray]


def _checked(x_rank: int, k_rank: int, one_by_one: bool = False) -> Callable[[Function], Function]:
    """Check X and K at every call of a function; the function itself stays the book's."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def checked(X: nd.NDArray, K: nd.NDArray) -> nd.NDArray:
            _checks.operands(function.__name__, X, K, x_rank, k_rank)
            if one_by_one:
                _checks.one_by_one(X, K)
            return function(X, K)

        return checked

    return decorate


@_checked(x_rank=2, k_rank=2)
def corr2d_loops(X: nd.NDArray, K: nd.NDArray) -> nd.NDArray:
    """Two-dimensional cross-correlation: the kernel slides over X, one output at a time.

    This is the definition in its plainest form. It is slow. MXNet can't differentiate it, because
    it assigns to elements of its output: under `autograd.record`, MXNet raises an error. `corr2d`
    computes the same numbers and has gradients.

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
        Arguments that aren't NDArrays of the same dtype.

    See Also
    --------
    corr2d : The same as a sum over the kernel.

    Examples
    --------
    >>> X = nd.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    >>> print(corr2d_loops(X, nd.array([[0, 1], [2, 3]])))
    <BLANKLINE>
    [[19. 25.]
     [37. 43.]]
    <NDArray 2x2 @cpu(0)>
    """
    (h, w), (k_h, k_w) = X.shape, K.shape
    Y = nd.zeros((h - k_h + 1, w - k_w + 1), ctx=X.context, dtype=X.dtype)
    for top in range(h - k_h + 1):
        for left in range(w - k_w + 1):
            window = X[top : top + k_h, left : left + k_w]
            Y[top, left] = (window * K).sum()
    return Y


@_checked(x_rank=2, k_rank=2)
def corr2d(X: nd.NDArray, K: nd.NDArray) -> nd.NDArray:
    """Two-dimensional cross-correlation, as a sum over the elements of the kernel.

    These elements are called taps. As the window slides, each tap visits a part of X with the size
    of the output: in a 3x3 X, the top left tap of a 2x2 kernel visits X[0:2, 0:2], the top right
    one X[0:2, 1:3]. So one product per tap serves all outputs at once, and the sum of these
    products equals `corr2d_loops`.

    Parameters
    ----------
    X : NDArray of shape (h, w)
    K : NDArray of shape (k_h, k_w)

    Returns
    -------
    NDArray of shape (h - k_h + 1, w - k_w + 1)

    Raises
    ------
    ValueError, TypeError
        As in `corr2d_loops`.

    See Also
    --------
    corr2d_loops : The same as a double loop over the outputs.
    corr2d_multi_in : For several input channels.

    Examples
    --------
    >>> X = nd.array([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    >>> print(corr2d(X, nd.array([[0, 1], [2, 3]])))
    <BLANKLINE>
    [[19. 25.]
     [37. 43.]]
    <NDArray 2x2 @cpu(0)>
    """
    k_h, k_w = len(K), len(K[0])
    products = []
    for a in range(k_h):
        rows = _trim(X, axis=-2, before=a, after=k_h - 1 - a)
        for b in range(k_w):
            visited = _trim(rows, axis=-1, before=b, after=k_w - 1 - b)
            products.append(nd.broadcast_mul(K[a][b], visited))
    return nd.add_n(*products)


def _trim(X: nd.NDArray, axis: int, before: int, after: int) -> nd.NDArray:
    """Return X without its first `before` and its last `after` slices along an axis."""
    # Counted from the far side, because a Symbol, in a layer's graph, doesn't know its size. None
    # is the end itself: an end of -0 would be 0, the beginning.
    return X.slice_axis(axis=axis, begin=before, end=-after if after else None)


@_checked(x_rank=3, k_rank=3)
def corr2d_multi_in(X: nd.NDArray, K: nd.NDArray) -> nd.NDArray:
    """Cross-correlation with several input channels: one for each channel, then their sum.

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
        As in `corr2d`, and ValueError for different numbers of channels.

    See Also
    --------
    corr2d_multi_in_out : For several output channels as well.

    Examples
    --------
    The chapter's first example: 56 is (0*0 + 1*1 + 3*2 + 4*3) + (1*1 + 2*2 + 4*3 + 5*4), 19 from
    the first channel and 37 from the second.

    >>> X = nd.array([[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
    >>> K = nd.array([[[0, 1], [2, 3]], [[1, 2], [3, 4]]])
    >>> print(corr2d_multi_in(X, K))
    <BLANKLINE>
    [[ 56.  72.]
     [104. 120.]]
    <NDArray 2x2 @cpu(0)>
    """
    return nd.add_n(*[corr2d(x, k) for x, k in zip(X, K)])


@_checked(x_rank=3, k_rank=4)
def corr2d_multi_in_out(X: nd.NDArray, K: nd.NDArray) -> nd.NDArray:
    """Cross-correlation with several output channels: each has its own kernel over all of X.

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
        As in `corr2d_multi_in`.

    See Also
    --------
    MultiChannelConv2D : The layer, which computes this for a batch.
    corr2d_multi_in_out_1x1 : For 1x1 kernels, as a matrix product.

    Examples
    --------
    >>> X, K = nd.ones((2, 3, 3)), nd.ones((4, 2, 2, 2))  # 2 input and 4 output channels
    >>> corr2d_multi_in_out(X, K).shape
    (4, 2, 2)
    """
    return nd.stack(*[corr2d_multi_in(X, k) for k in K])


@_checked(x_rank=3, k_rank=4, one_by_one=True)
def corr2d_multi_in_out_1x1(X: nd.NDArray, K: nd.NDArray) -> nd.NDArray:
    """Cross-correlation with a 1x1 kernel, as the matrix product of a fully connected layer.

    To that layer, each pixel is an example, and its channels are the features.

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
        As in `corr2d_multi_in_out`, and for a kernel that isn't 1x1.
    TypeError
        As in `corr2d_multi_in_out`, and for a dtype that MXNet has no matrix product for.

    See Also
    --------
    corr2d_multi_in_out : For kernels of any size.

    Examples
    --------
    >>> X, K = nd.ones((3, 4, 5)), nd.ones((2, 3, 1, 1))  # 3 input and 2 output channels
    >>> corr2d_multi_in_out_1x1(X, K).shape
    (2, 4, 5)
    """
    c_i, h, w = X.shape
    c_o = K.shape[0]
    X = X.reshape((c_i, h * w))
    K = K.reshape((c_o, c_i))
    Y = nd.dot(K, X)
    return Y.reshape((c_o, h, w))

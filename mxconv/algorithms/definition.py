"""The chapter itself: padding goes around X, dilation into K, and a stride drops outputs.

What remains is a cross-correlation for each group of channels, done by the chapter's functions. It
takes c_o c_i k_h k_w products of whole planes, so it is here to be read and compared with.
"""

from mxnet import sym

from .._layouts import plain
from ..reference import Split, corr2d_multi_in_out
from .steps import add_bias, dilate, every, pad, split

# Tracing takes time quadratic in the number of taps: 2,304 (16 to 16 channels, 3x3) take seconds,
# 9,216 (32 to 32) minutes.
MOST_TRACED_TAPS = 4096


def definition(F, x, weight, bias, geometry):
    """Convolve by the chapter's functions; x (n, c_i, h, w) gives (n, c_o, o_h, o_w).

    Raises
    ------
    ValueError
        A graph of more than `MOST_TRACED_TAPS` taps, where it would be traced.
    """
    if F is sym:
        _refuse_huge_graph(geometry)
    g = geometry.groups
    planes = split(F, pad(F, x, geometry.margins), geometry.in_channels, axis=1)
    kernel = plain(weight) if g > 1 else weight
    taps = _taps(F, dilate(F, kernel, geometry.dilation), geometry)
    c_i, c_o = geometry.in_channels // g, geometry.channels // g
    outputs = [
        corr2d_multi_in_out(
            Split(planes[i * c_i : (i + 1) * c_i]), Split(taps[i * c_o : (i + 1) * c_o])
        )
        for i in range(g)
    ]
    y = F.concat(*outputs, dim=0).transpose((1, 0, 2, 3))  # channels were stacked before the batch
    return add_bias(F, every(F, y, geometry.strides), bias)


def _taps(F, kernel, geometry):
    """A kernel (c_o, c_i / groups, h, w) as nested lists of taps, each of shape (1,)."""
    c_o, c_i = geometry.weight_shape[:2]
    k_h, k_w = geometry.window
    return Split(
        Split(
            Split(split(F, row, k_w, squeeze=False) for row in split(F, plane, k_h))
            for plane in split(F, planes, c_i)
        )
        for planes in split(F, kernel, c_o)
    )


def _refuse_huge_graph(geometry):
    c_o, c_i = geometry.weight_shape[:2]
    k_h, k_w = geometry.window
    taps = c_o * c_i * k_h * k_w
    if taps > MOST_TRACED_TAPS:
        raise ValueError(
            f"algorithm='definition' hybridized would be a graph of {c_o} x {c_i} x {k_h} x {k_w} "
            f"= {taps} taps, expected at most {MOST_TRACED_TAPS}: use algorithm='matmul' or "
            "'direct', or don't hybridize this layer"
        )

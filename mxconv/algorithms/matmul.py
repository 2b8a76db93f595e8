"""im2col and one matrix product, the chapter's last exercise.

Each output's window of the input becomes a column of c_i k_h k_w elements; the kernel, with a row
per output channel, multiplies all columns at once. For a 1x1 kernel the columns are the pixels, and
what remains is the chapter's reshape, dot, reshape.
"""

from .._layouts import plain
from .steps import add_bias, every, first_met, pad


def matmul(F, x, weight, bias, geometry):
    """Convolve by a matrix product per group; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    g = geometry.groups
    if geometry.pointwise:
        met = every(F, pad(F, x, geometry.margins), geometry.strides)
        columns = met.reshape((0, 0, -1))
    else:
        met = first_met(F, x, geometry)
        columns = F.im2col(
            x,
            kernel=geometry.kernel_size,
            stride=geometry.strides,
            dilate=geometry.dilation,
            pad=geometry.padding,
        )
    # (n, c_i k_h k_w, o_h o_w) -> (groups, c_i k_h k_w / groups, n o_h o_w)
    columns = columns.transpose((1, 0, 2)).reshape((-4, g, -1, -3))
    rows = (plain(weight) if g > 1 else weight).reshape((g, geometry.channels // g, -1))
    y = F.batch_dot(rows, columns).reshape((geometry.channels, -1))
    # (c_o, n o_h o_w) -> (c_o, n, o_h, o_w), with sizes that a Symbol only has in another array
    pixels = met.slice_axis(axis=1, begin=0, end=1).reshape((-3, 0, 0))
    y = F.reshape_like(y, pixels, lhs_begin=1, lhs_end=2, rhs_begin=0, rhs_end=3)
    return add_bias(F, y.transpose((1, 0, 2, 3)), bias)

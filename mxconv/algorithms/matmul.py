"""im2col and one matrix product, the chapter's last exercise.

Each output's window of the input becomes a column of c_i k_h k_w elements; the kernel, with a row
per output channel, multiplies all columns at once. For a 1x1 kernel the columns are the pixels, and
what remains is the chapter's reshape, dot, reshape.
"""

from .steps import add_bias, every, pad


def matmul(F, x, weight, bias, geometry):
    """Convolve by a matrix product per group; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    g = geometry.groups
    if geometry.pointwise:
        met = every(F, pad(F, x, geometry.margins), geometry.strides)
        columns = met.reshape((0, 0, -1))
    else:
        met = _first_met(F, x, geometry)
        columns = F.im2col(
            x,
            kernel=geometry.kernel_size,
            stride=geometry.strides,
            dilate=geometry.dilation,
            pad=geometry.padding,
        )
    # (n, c_i k_h k_w, o_h o_w) -> (groups, c_i k_h k_w / groups, n o_h o_w)
    columns = columns.transpose((1, 0, 2)).reshape((-4, g, -1, -3))
    rows = weight.reshape((g, geometry.channels // g, -1))
    y = F.batch_dot(rows, columns).reshape((geometry.channels, -1))
    # (c_o, n o_h o_w) -> (c_o, n, o_h, o_w), with sizes that a Symbol only has in another array
    pixels = met.slice_axis(axis=1, begin=0, end=1).reshape((-3, 0, 0))
    y = F.reshape_like(y, pixels, lhs_begin=1, lhs_end=2, rhs_begin=0, rhs_end=3)
    return add_bias(F, y.transpose((1, 0, 2, 3)), bias)


def _first_met(F, x, geometry):
    """What the kernel's first tap meets: an array of the output's batch, height and width.

    It only lends its shape. The gradient is blocked before the padding, because in MXNet 1.9.1 a
    `BlockGrad` behind other operators can crash the eager backward pass.
    """
    x = pad(F, F.BlockGrad(x), geometry.margins)
    end = tuple(1 - w or None for w in geometry.window)
    return every(F, x, geometry.strides, end=end)

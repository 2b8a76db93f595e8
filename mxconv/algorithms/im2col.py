"""im2col and one matrix product, the chapter's last exercise.

Each output's window of the input becomes a column of c_i k_h k_w elements. The kernel, with one row
per output channel, multiplies all columns at once. For a 1x1 kernel the columns are the pixels, and
what remains is the chapter's reshape, dot, reshape.

References
----------
K. Chellapilla, S. Puri, P. Simard, "High Performance Convolutional Neural Networks for Document
Processing", Tenth International Workshop on Frontiers in Handwriting Recognition (2006).
"""

from math import prod
from typing import Any, Dict

from .._layouts import plain_weight
from ..geometry import ConvGeometry
from .ops import add_bias, output_like, pad, strided_slice
from .record import Algorithm, Shape


def im2col(F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry) -> Any:
    """Convolve by one matrix product per group; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    g = geometry.groups
    if geometry.pointwise:
        read = strided_slice(F, pad(F, x, geometry.pads), geometry.strides)
        columns = read.reshape((0, 0, -1))
    else:
        read = output_like(F, x, geometry)
        columns = F.im2col(
            x,
            kernel=geometry.kernel_size,
            stride=geometry.strides,
            dilate=geometry.dilation,
            pad=geometry.padding,
        )
    # (n, c_i k_h k_w, o_h o_w) -> (groups, c_i k_h k_w / groups, n o_h o_w)
    columns = columns.transpose((1, 0, 2)).reshape((-4, g, -1, -3))
    rows = plain_weight(weight, geometry).reshape((g, geometry.channels // g, -1))
    y = F.batch_dot(rows, columns).reshape((geometry.channels, -1))
    # (c_o, n o_h o_w) -> (c_o, n, o_h, o_w); a Symbol has these sizes only in another Symbol
    pixels = read.slice_axis(axis=1, begin=0, end=1).reshape((-3, 0, 0))
    y = F.reshape_like(y, pixels, lhs_begin=1, lhs_end=2, rhs_begin=0, rhs_end=3)
    return add_bias(F, y.transpose((1, 0, 2, 3)), bias)


def _columns(geometry: ConvGeometry, input_shape: Shape) -> Dict[str, int]:
    """Count the columns, and their copy in the order in which the matrix product reads them."""
    n, c_i = input_shape[:2]
    outputs = prod(geometry.output_shape(input_shape)[2:])
    columns = n * c_i * prod(geometry.kernel_size) * outputs
    return {"columns": columns, "columns_copy": columns}


ALGORITHM = Algorithm(
    run=im2col,
    summary="im2col and one matrix product; for a 1×1 kernel the chapter's reshape, dot, reshape",
    suits="seeing the convolution as a matrix product",
    padded_size=lambda geometry, size: geometry.padded_size(size),
    arrays=_columns,
    plain_gradient=True,
)

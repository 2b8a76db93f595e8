"""Winograd's minimal filtering: fewer products, for large 3x3 convolutions.

**One row.** Two outputs of a kernel of three taps take six products by the definition, and four by
Winograd's::

    p1 = (d0 - d2) g0                    y0 = d0 g0 + d1 g1 + d2 g2 = p1 + p2 + p3
    p2 = (d1 + d2) (g0 + g1 + g2) / 2    y1 = d1 g0 + d2 g1 + d3 g2 = p2 - p3 + p4
    p3 = (d2 - d1) (g0 - g1 + g2) / 2
    p4 = (d3 - d1) g2

So y = A ((G g) * (B d)), where A, G and B are small matrices and * multiplies element by element.
They come from polynomials: the taps, as coefficients, are evaluated at some points, and so on (see
`transforms`). For planes, rows and then columns are transformed: y = A ((G g G') * (B d B')) A'.
This module computes tiles of 4x4 outputs from windows of 6x6 inputs, with 36 products for each
input channel where the definition has 144::

    window 6x6          transformed 6x6          tile 4x4
    ......              ......
    ......   B d B'     ......   times G g G',   ....
    ......   ------>    ......   sum over c_i    ....   the next window is 4 to the right
    ......              ......   -----------> A  ....
    ......              ......                   ....
    ......              ......

**Many channels.** Transforming is linear, so it needs to be done only once for each input channel,
before the sum over them, and once for each output channel, after it. Between the two, each of the
36 elements of the transformed windows is a plane on its own, with one pixel per tile, and the sum
over channels is the chapter's 1x1 convolution: one matrix product for each element. The more
channels, the more that counts, and the less the transforms.

Transforming the weight takes time too, which pays in inference, where it is done once. All steps
are operators of MXNet, so gradients pass through them. An Inf or NaN spreads, as NaN, to all the
tiles whose windows contain it. Rounding errors are relative to the largest products around an
output; on normal data they are one to two times those of 'native'.

References
----------
S. Winograd, *Arithmetic Complexity of Computations*, SIAM (1980).
A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), arXiv:1509.09308.
B. Barabasz, A. Anderson, K. Soodhalter, D. Gregg, "Error Analysis and Improving the Accuracy of
Winograd Convolution for Deep Neural Networks" (2020), arXiv:1803.10986: which points to take.
"""

from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from .. import _cpuinfo
from .._layouts import plain_weight
from ..geometry import ConvGeometry
from .ops import add_bias, constant, output_like, strided_slice
from .record import Algorithm, Shape, Size

TAPS, TILE = 3, 4  # rows of the kernel, and of outputs in a tile
WINDOW = TILE + TAPS - 1
ELEMENTS = WINDOW**2  # of a transformed window

# With these, A and B are exact in float32, as are the products of their elements. The textbook's
# 0, 1, -1, 2, -2 lose two more bits of the result.
POINTS = tuple(Fraction(quarters, 4) for quarters in (0, 3, -3, 6, -6))

# Below these it hardly ever won, even with a weight that is transformed beforehand: the transforms
# take longer than they save, or the transformed weight is read for too few tiles.
MIN_PRODUCTS_PER_TAP = 128**2  # c_i c_o
MIN_PIXELS = 196  # outputs of each channel, in all images

MIN_CONVOLVED_CHANNELS = 384  # from which a convolution multiplies faster, with AVX-512

Matrix = List[List[Fraction]]


def unsupported(geometry: ConvGeometry) -> Optional[str]:
    """Return why a geometry has no transforms here, in words, or None."""
    if geometry.kernel_size != (TAPS, TAPS):
        return f"kernels other than {TAPS}x{TAPS}"
    if geometry.strides != (1, 1):
        return "strides other than 1"
    if geometry.dilation != (1, 1):
        return "dilation"
    return None if geometry.groups == 1 else "groups"


def transforms(points: Sequence[Fraction], taps: int = TAPS) -> Tuple[Matrix, Matrix, Matrix]:
    """Return A', G and B, each with a row for every point and one for infinity.

    A has the powers of the points as its columns, and so has G as its rows, divided by the
    denominators of Lagrange's interpolation. B has the coefficients of its numerators. At infinity
    a polynomial's value is its highest coefficient. Then, for the outputs i and the taps j,
    sum_k A[i, k] G[k, j] B[k, l] is 1 for l = i + j, and else 0.
    """
    tile = len(points) + 2 - taps
    A, G, B = [], [], []
    for point in points:
        others = [other for other in points if other != point]
        denominator = prod([point - other for other in others], start=Fraction(1))
        A.append([point**i for i in range(tile)])
        G.append([point**j / denominator for j in range(taps)])
        B.append([*_coefficients(others), Fraction(0)])
    A.append([Fraction(i == tile - 1) for i in range(tile)])
    G.append([Fraction(j == taps - 1) for j in range(taps)])
    B.append(_coefficients(points))
    return A, G, B


def _coefficients(roots: Sequence[Fraction]) -> List[Fraction]:
    """Return the coefficients of the product of all (z - root), that of 1 first."""
    zero, found = Fraction(0), [Fraction(1)]
    for root in roots:
        found = [before - root * same for before, same in zip([zero, *found], [*found, zero])]
    return found


def winograd(F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry) -> Any:
    """Convolve by transformed tiles; x (n, c_i, h, w) gives (n, c_o, o_h, o_w).

    Comments give shapes; t_h, t_w are the numbers of tiles, and rows of tiles come from `like`.
    """
    c_i, c_o = geometry.in_channels, geometry.channels
    like = output_like(F, x, geometry)
    A, G, B = (_in_the_plane(F, matrix, weight) for matrix in transforms(POINTS))

    filters = plain_weight(weight, geometry).reshape((-3, -3))  # (c_o c_i, 9)
    filters = F.dot(G.reshape((0, -3)), filters, transpose_b=True).reshape((ELEMENTS, c_o, c_i))

    # The windows of each plane. The planes lie behind each other in a volume of one channel, so
    # that the elements come first and the channels of the images stay together.
    planes = _extend(F, x.transpose((1, 0, 2, 3))).reshape((-3, 0, 0))
    windows = F.Convolution(
        planes.expand_dims(0).expand_dims(0),
        B.reshape((0, 1, 1, WINDOW, WINDOW)),
        kernel=(1, WINDOW, WINDOW),
        stride=(1, TILE, TILE),
        pad=(0, *geometry.padding),
        num_filter=ELEMENTS,
        no_bias=True,
    )
    tiles = strided_slice(F, like.slice_axis(axis=1, begin=0, end=1), (TILE, TILE))
    tiles = tiles.reshape((-3, 0, 0))  # (n, t_h, t_w)
    multiply = _by_convolution if _suits_convolution(geometry) else _by_matrix_products
    y = multiply(F, windows, filters, tiles, geometry)  # (1, 36, c_o n t_h, t_w)
    y = F.Deconvolution(
        y,
        A.reshape((0, 1, TILE, TILE)),
        kernel=(TILE, TILE),
        stride=(TILE, TILE),
        num_filter=1,
        no_bias=True,
    )
    y = y.reshape((-3, 0, 0)).reshape((-3, 0)).reshape((-4, c_o, -1, 0))
    y = y.reshape((0, -4, -1, TILE, 0))  # (c_o, n t_h, 4, 4 t_w)
    y = F.reshape_like(y, tiles, lhs_begin=1, lhs_end=2, rhs_begin=0, rhs_end=2)
    y = y.reshape((0, 0, -3, 0))  # (c_o, n, 4 t_h, 4 t_w)
    y = F.slice_like(y, like, axes=(2, 3))  # the last tiles may reach beyond the output
    return add_bias(F, y.transpose((1, 0, 2, 3)), bias)


def _suits_convolution(geometry: ConvGeometry) -> bool:
    """Return whether oneDNN multiplies faster than OpenBLAS does, which lacks its layouts."""
    least = min(geometry.channels, geometry.in_channels)
    return _cpuinfo.has_avx512() and least >= MIN_CONVOLVED_CHANNELS


def _by_matrix_products(
    F: Any, windows: Any, filters: Any, tiles: Any, geometry: ConvGeometry
) -> Any:
    """Sum over the input channels by one matrix product for each element."""
    y = F.batch_dot(filters, windows.reshape((ELEMENTS, geometry.in_channels, -1)))
    y = F.reshape_like(y, tiles, lhs_begin=2, lhs_end=3, rhs_begin=0, rhs_end=3)
    return y.reshape((0, -3, 0, 0)).reshape((0, -3, 0)).expand_dims(0)


def _by_convolution(F: Any, windows: Any, filters: Any, tiles: Any, geometry: ConvGeometry) -> Any:
    """Sum over the input channels by a 1x1 convolution with a group for each element."""
    c_i, c_o = geometry.in_channels, geometry.channels
    windows = windows.reshape((0, -3, 0, 0)).reshape((0, -4, ELEMENTS * c_i, -1, 0, 0))
    y = F.Convolution(
        windows.reshape((0, 0, -3, 0)),  # (1, 36 c_i, n t_h, t_w)
        filters.reshape((-3, 0)).expand_dims(-1).expand_dims(-1),
        kernel=(1, 1),
        num_filter=ELEMENTS * c_o,
        num_group=ELEMENTS,
        no_bias=True,
    )
    return y.reshape((0, -3, 0)).reshape((0, -4, ELEMENTS, -1, 0))


def _in_the_plane(F: Any, matrix: Matrix, like: Any) -> Any:
    """Return the products of any two elements of rows of a matrix (6, k): (36, k, k)."""
    rows, columns = len(matrix), len(matrix[0])
    one = constant(F, np.array(matrix, np.float64), like)
    return F.broadcast_mul(
        one.reshape((rows, 1, columns, 1)), one.reshape((1, rows, 1, columns))
    ).reshape((-3, 0, 0))


def _extend(F: Any, x: Any) -> Any:
    """Append rows and columns of zeros, so that the last windows are whole.

    It is faster than `F.pad`.
    """
    for axis in (2, 3):
        zeros = F.zeros_like(x.slice_axis(axis=axis, begin=0, end=1))
        x = F.concat(x, F.broadcast_axis(zeros, axis=axis, size=TILE - 1), dim=axis)
    return x


def inner(geometry: ConvGeometry) -> ConvGeometry:
    """Return the geometry of the products: a 1x1 convolution with a group for each element."""
    return replace(
        geometry,
        channels=ELEMENTS * geometry.channels,
        in_channels=ELEMENTS * geometry.in_channels,
        kernel_size=(1, 1),
        padding=(0, 0),
        groups=ELEMENTS,
    )


def _tiles(geometry: ConvGeometry, size: Size) -> Size:
    """Return the numbers of rows and columns of tiles."""
    return tuple(-(-(h - TAPS + 1) // TILE) for h in geometry.padded_size(size))


def _worth_timing(geometry: ConvGeometry, input_shape: Shape, dtype: Any) -> bool:
    n, _, o_h, o_w = geometry.output_shape(input_shape)
    products = geometry.channels * geometry.in_channels
    enough = products >= MIN_PRODUCTS_PER_TAP and n * o_h * o_w >= MIN_PIXELS
    return bool(dtype == np.float32 and enough)


ALGORITHM = Algorithm(
    run=winograd,
    summary="Winograd's minimal filtering: tiles are transformed, which saves most products",
    suits="large 3×3 convolutions of many channels, in inference",
    unsupported=unsupported,
    worth_timing=_worth_timing,
    inner=inner,
    inner_size=_tiles,
    padded_size=lambda geometry, size: tuple(h + TILE - 1 for h in size),
    saved=("padded", "inner_output"),
    plain_gradient=True,
    exact_on_integers=False,
)

"""The chapter itself: padding goes around X, dilation into K, and strides drop outputs.

What remains is one cross-correlation per group of channels, computed by the chapter's functions. It
takes c_o c_i k_h k_w products of whole planes, so this algorithm is here to be read and to check
the others against.

Those functions loop over the channels of X and the elements of K, which a Symbol doesn't allow. So
X is split into planes, one per channel and of shape (n, h, w), and K into taps of shape (1,). The
functions then loop over lists of these.
"""

from types import FunctionType
from typing import Any, Callable, Dict, List

from mxnet import sym

from .. import reference
from .._layouts import plain_weight
from ..geometry import ConvGeometry
from .ops import add_bias, dilate, pad, strided_slice, unstack
from .record import Algorithm, Shape

# Tracing takes time quadratic in the number of taps: seconds for 2,304 (16 to 16 channels, 3x3),
# minutes for 9,216 (32 to 32).
MAX_TRACED_TAPS = 4096


def definition(F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry) -> Any:
    """Convolve by the chapter's functions; x (n, c_i, h, w) gives (n, c_o, o_h, o_w).

    Raises
    ------
    ValueError
        If the graph to be traced would have more than `MAX_TRACED_TAPS` taps.
    """
    if F is sym:
        _refuse_huge_graph(geometry)
    g = geometry.groups
    planes = unstack(F, pad(F, x, geometry.pads), geometry.in_channels, axis=1)
    kernel = plain_weight(weight, geometry)
    taps = _taps(F, dilate(F, kernel, geometry.dilation), geometry)
    c_i, c_o = geometry.in_channels // g, geometry.channels // g
    corr2d_multi_in_out = chapter_over(F)
    outputs = [
        corr2d_multi_in_out(planes[i * c_i : (i + 1) * c_i], taps[i * c_o : (i + 1) * c_o])
        for i in range(g)
    ]
    y = F.concat(*outputs, dim=0).transpose((1, 0, 2, 3))  # the functions stack channels first
    return add_bias(F, strided_slice(F, y, geometry.strides), bias)


def chapter_over(F: Any) -> Callable[[List[Any], List[Any]], Any]:
    """Return the chapter's `corr2d_multi_in_out` for lists of planes and taps, with F as its `nd`.

    The code is the same. It runs in a namespace where `nd` is `mx.nd` or `mx.sym`, and where each
    function calls the next one without checking its arguments, because the layer already has.
    """
    namespace = dict(vars(reference), nd=F)
    for name in ("corr2d", "corr2d_multi_in", "corr2d_multi_in_out"):
        checked = getattr(reference, name)
        namespace[name] = FunctionType(checked.__wrapped__.__code__, namespace, name)
    function: Callable[[List[Any], List[Any]], Any] = namespace["corr2d_multi_in_out"]
    return function


def _taps(F: Any, kernel: Any, geometry: ConvGeometry) -> List[Any]:
    """Split a kernel (c_o, c_i / groups, h, w) into nested lists of taps, each of shape (1,)."""
    c_o, c_i = geometry.weight_shape[:2]
    k_h, k_w = geometry.dilated_kernel_size
    return [
        [
            [unstack(F, row, k_w, squeeze=False) for row in unstack(F, plane, k_h)]
            for plane in unstack(F, planes, c_i)
        ]
        for planes in unstack(F, kernel, c_o)
    ]


def _products(geometry: ConvGeometry, input_shape: Shape) -> Dict[str, int]:
    """Count a plane of products for each tap, including the zeros that dilation puts between."""
    n, c_i, *size = input_shape
    k_h, k_w = geometry.dilated_kernel_size
    h, w = geometry.padded_size(size)
    taps = geometry.channels * c_i // geometry.groups * k_h * k_w
    return {"products": n * taps * (h - k_h + 1) * (w - k_w + 1)}


def _refuse_huge_graph(geometry: ConvGeometry) -> None:
    c_o, c_i = geometry.weight_shape[:2]
    k_h, k_w = geometry.dilated_kernel_size
    taps = c_o * c_i * k_h * k_w
    if taps > MAX_TRACED_TAPS:
        raise ValueError(
            f"algorithm='definition' would be traced to a graph of {c_o} x {c_i} x {k_h} x {k_w} "
            f"= {taps} taps, expected at most {MAX_TRACED_TAPS}: use algorithm='im2col' or "
            "'native', or don't hybridize this layer"
        )


ALGORITHM = Algorithm(
    run=definition,
    summary="the chapter's functions; padding goes around X, dilation into K, strides drop outputs",
    suits="reading, and checking the others",
    padded_size=lambda geometry, size: geometry.padded_size(size),
    arrays=_products,
    plain_gradient=True,
)

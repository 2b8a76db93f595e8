"""What an algorithm says about itself: one record, which everything else reads."""

from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

from ..geometry import ConvGeometry

Shape = Tuple[int, ...]  # (n, c, h, w)
Size = Sequence[int]  # (h, w)


def supports_all(geometry: ConvGeometry) -> Optional[str]:
    """Return None: every geometry is supported."""
    return None


def same_geometry(geometry: ConvGeometry) -> ConvGeometry:
    """Return the geometry as it is."""
    return geometry


def same_size(geometry: ConvGeometry, size: Size) -> Size:
    """Return the height and width as they are."""
    return size


def no_arrays(geometry: ConvGeometry, input_shape: Shape) -> Dict[str, int]:
    """Return nothing: no extra arrays are made."""
    return {}


def never(geometry: ConvGeometry, input_shape: Shape, dtype: Any) -> bool:
    """Return False: the algorithm is never timed."""
    return False


def always(geometry: ConvGeometry, input_shape: Shape, dtype: Any) -> bool:
    """Return True: the algorithm is timed wherever it is supported."""
    return True


class Algorithm(NamedTuple):
    """One way to compute a convolution.

    Geometries are normalized (see `ConvGeometry.normalized`) and their input channels are known.
    Shapes are (n, c, h, w) and sizes are (h, w), in elements.

    Attributes
    ----------
    run : callable
        `run(F, x, weight, bias, geometry)` returns y. F is `mx.nd` or `mx.sym`, x is
        (n, c_i, h, w), y is (n, c_o, o_h, o_w), and bias may be None.
    summary, suits : str
        What the algorithm does and which convolutions it is for, in Markdown. The tables in the
        documentation are made from them.
    unsupported : callable
        `unsupported(geometry)` returns what the algorithm doesn't support about the geometry, in
        words that complete "doesn't support ...", or None.
    worth_timing : callable
        `worth_timing(geometry, input_shape, dtype)` returns whether the algorithm might be faster
        than 'native' for a geometry that it supports.
    inner, inner_size : callable
        `inner(geometry)` returns the geometry that MXNet's operator runs on instead.
        `inner_size(geometry, size)` returns the height and width of that operator's input.
    padded_size : callable
        `padded_size(geometry, size)` returns the height and width of the input after a separate
        padding step, which copies it.
    arrays, remade : callable
        `arrays(geometry, input_shape)` returns the elements of each array that is made in addition
        to those of the inner convolution, by its name in `mxconv.exercises.cost.ArrayCounts`.
        `remade` returns the same for arrays whose size differs in the backward pass.
    saved : tuple of str
        Arrays that the backward pass reads in addition to the usual ones.
    plain_gradient : bool
        Whether the gradient with respect to x always has MXNet's plain memory layout. It does if x
        goes through another operator before any convolution of MXNet's.
    eager_inference_only : bool
        Whether the algorithm falls back to 'native' while recording and inside a graph.
    exact_on_integers : bool
        Whether results on small integers are exact: the algorithm sums the very products of the
        definition, in some order.
    """

    run: Callable[..., Any]
    summary: str
    suits: str
    unsupported: Callable[[ConvGeometry], Optional[str]] = supports_all
    worth_timing: Callable[[ConvGeometry, Shape, Any], bool] = never
    inner: Callable[[ConvGeometry], ConvGeometry] = same_geometry
    inner_size: Callable[[ConvGeometry, Size], Size] = same_size
    padded_size: Callable[[ConvGeometry, Size], Size] = same_size
    arrays: Callable[[ConvGeometry, Shape], Dict[str, int]] = no_arrays
    remade: Callable[[ConvGeometry, Shape], Dict[str, int]] = no_arrays
    saved: Tuple[str, ...] = ()
    plain_gradient: bool = False
    eager_inference_only: bool = False
    exact_on_integers: bool = True

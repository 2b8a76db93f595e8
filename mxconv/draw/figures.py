"""The chapter's two figures, for any small arrays: the numbers they show are computed.

Channels are stacked as in the book, with the last on top.
"""

from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

from .. import _checks
from .._paths import writable
from .paint import SUFFIXES, Caption, Grid, Mark, paint
from .sums import Limits, Sums, compute_sums, refuse_undrawn

LIMITS = Limits(across=10, channels=4, products=50)
SHADES = ("#9fd0f5", "#fdc583", "#abdc9c", "#d9c0ef")  # one per output channel
SHARED = "#dcdcdc"  # what several output channels use

# In cells.
ROW_GAP = 1.9  # between rows of grids, for a sign and a title
OUTPUT_GAP = 1.2  # between output planes, for a title
KERNEL_GAP = 0.5  # between the columns of two output channels' kernels
SIGN_WIDTH = 1.6
TITLE_WIDTH = 0.2  # of one character


@refuse_undrawn
def multi_in(
    X: Any,
    K: Any,
    path: Any = None,
    output_channel: int = 0,
    element: Any = (0, 0),
    strides: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    padding_mode: Any = "zeros",
) -> Any:
    """Draw the chapter's first figure: a cross-correlation per input channel, and their sum.

    One output element is shaded, together with the elements it is computed from. Its sum is spelled
    out below. In a notebook, the figure displays itself.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_i, k_h, k_w) or (c_o, c_i / groups, k_h, k_w)
        The names in the figure are indices into it. With groups, the i of K[o, i] counts the input
        channels of the group: in a depthwise convolution, K[3, 0] is the kernel of X[3].
    path : str or Path, optional
        Where to write the figure; the suffix makes it an SVG or a PNG.
    output_channel : int
        The output channel to show in parts, counted from 0.
    element : pair of int
        Row and column of the output element to shade, counted from 0.
    strides, padding, dilation, groups, padding_mode
        As in `MultiChannelConv2D`. Cells of the padding are dashed. What belongs to other groups
        than the output channel's is pale: no kernel of this channel stands beside their inputs.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the ranks or channels are wrong; if there are more than 10 rows or columns with padding,
        4 input or output channels, or 50 products in a sum; if the output channel or the element
        doesn't exist; or if the path isn't to an SVG or PNG in an existing directory.
    TypeError
        If an argument has the wrong type, or isn't drawn, such as a bias.
    ImportError
        If matplotlib, the extra `mxconv[plot]`, is missing.

    See Also
    --------
    one_by_one : The chapter's second figure.
    page : All sums on one interactive page.

    Examples
    --------
    >>> X, K = nd.arange(18).reshape((2, 3, 3)), nd.arange(8).reshape((2, 2, 2))
    >>> figure = multi_in(X, K, "multi_in.svg", element=(1, 0))
    """
    path = path if path is None else writable(path, SUFFIXES)
    sums = compute_sums(X, K, strides, padding, dilation, LIMITS, groups, padding_mode)
    o = sums.output_channel(output_channel)
    return _draw(sums, element, {o: SHADES[0]}, path)


@refuse_undrawn
def one_by_one(X: Any, K: Any, path: Any = None, element: Any = (0, 0), groups: Any = 1) -> Any:
    """Draw the chapter's second figure: a 1x1 kernel mixes the channels of each pixel.

    One pixel is shaded in every channel of the input and of the output, and so is the kernel. A sum
    for each output channel is spelled out below. An input pixel has the color of the output channel
    that uses it, or is gray if several do.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_i, 1, 1) or (c_o, c_i / groups, 1, 1)
    path, element, groups
        As in `multi_in`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError, ImportError
        As in `multi_in`; also ValueError if the kernel isn't 1x1.

    See Also
    --------
    multi_in : The chapter's first figure.
    page : All sums on one interactive page.

    Examples
    --------
    >>> X, K = nd.arange(27).reshape((3, 3, 3)), nd.arange(6).reshape((2, 3, 1, 1))
    >>> figure = one_by_one(X, K, "one_by_one.png")
    """
    path = path if path is None else writable(path, SUFFIXES)
    if _checks.ndarray("K", K).shape[-2:] != (1, 1):
        raise ValueError(f"one_by_one: expected a 1x1 kernel, received K.shape={K.shape}")
    sums = compute_sums(X, K, 1, 0, 1, LIMITS, groups)
    return _draw(sums, element, dict(enumerate(SHADES[: len(sums.output)])), path)


def _draw(sums: Sums, element: Any, shades: Dict[int, str], path: Any) -> Any:
    """Draw the sums of one output element; `shades` has a color for each output channel shown."""
    position = _position(sums, element)
    captions = [
        Caption(
            f"{sums.output_name(o)}: " * (len(shades) > 1) + sums.spell_out(o, position), shades[o]
        )
        for o in sorted(shades, reverse=True)
    ]
    layout = _lay_out(sums, position, shades)
    return paint(layout.grids, layout.marks, captions, path)


def _position(sums: Sums, element: Any) -> int:
    """The pair (row, column) as a position in an output plane, counted row by row."""
    i, j = _checks.pair("element", element, 0)
    o_h, o_w = sums.output.shape[1:]
    if i >= o_h or j >= o_w:
        raise ValueError(
            f"element is out of range: expected a row and a column of the {o_h}x{o_w} output, "
            f"counted from 0, received element={element!r}"
        )
    return i * o_w + j


class _Plane(NamedTuple):
    """A grid that has yet to be placed in a column, with the color of each cell or None."""

    name: str
    title: str
    values: np.ndarray
    shade: np.ndarray
    middle: float  # its distance from the top
    quiet: bool = False


class _Layout:
    """Grids and signs, placed from left to right."""

    def __init__(self, border: np.ndarray) -> None:
        self.grids: List[Grid] = []
        self.marks: List[Mark] = []
        self.right = 0.0
        self._border = border  # of an input's plane

    def add_column(self, planes: Iterable[_Plane]) -> None:
        """Place planes above each other, centered in a column as wide as the widest."""
        planes = list(planes)
        width = max(max(p.values.shape[1], TITLE_WIDTH * len(p.title)) for p in planes)
        for name, title, values, shade, middle, quiet in planes:
            rows, columns = values.shape
            border = self._border if name.startswith("X") else np.zeros(values.shape, bool)
            left, top = self.right + (width - columns) / 2, middle - rows / 2
            self.grids.append(Grid(name, title, values, shade, border, left, top, quiet))
        self.right += width

    def add_sign(self, text: str, ys: Iterable[float]) -> None:
        """Place a sign at each height."""
        self.marks += [Mark(text, self.right + SIGN_WIDTH / 2, y) for y in ys]
        self.right += SIGN_WIDTH


def _lay_out(sums: Sums, position: int, shades: Dict[int, str]) -> _Layout:
    """Lay out X ∗ K = Y and, if only one output channel is shown, its parts before Y."""
    c_o, per_group = sums.kernel.shape[:2]
    pitch = sums.border.shape[0] + ROW_GAP
    middles = {c: row * pitch for row, c in enumerate(sums.order)}
    rows = [middles[c] for c in middles if any(c in sums.inputs_of(o) for o in shades)]
    alone = list(shades)[0] if len(shades) == 1 else None

    layout = _Layout(sums.border)
    layout.add_column(_inputs(sums, position, shades, middles))
    layout.add_sign("∗", rows)
    for o in range(c_o):
        if o > 0:
            layout.right += KERNEL_GAP
        layout.add_column(_kernels(sums, o, shades, middles))
    if alone is not None and per_group > 1:
        layout.add_sign("=", rows)
        left = layout.right
        layout.add_column(_parts(sums, position, alone, shades[alone], middles))
        center = (left + layout.right) / 2
        layout.marks += [Mark("+", center, y + pitch / 2) for y in rows[:-1]]
    layout.add_sign("=", [float(np.mean(rows))])
    in_the_middle = (c_o - 1) / 2 if alone is None else alone
    layout.add_column(_outputs(sums, position, shades, float(np.mean(rows)), in_the_middle))
    return layout


def _inputs(
    sums: Sums, position: int, shades: Dict[int, str], middles: Dict[int, float]
) -> Iterable[_Plane]:
    for c, middle in middles.items():
        colors = [color for o, color in shades.items() if c in sums.inputs_of(o)]
        color = SHARED if len(colors) > 1 else next(iter(colors), None)
        shade = _shade(sums.border.shape, sums.windows[position], color)
        yield _Plane(f"X.{c}", f"X[{c}]", sums.padded[c], shade, middle, quiet=not colors)


def _kernels(
    sums: Sums, o: int, shades: Dict[int, str], middles: Dict[int, float]
) -> Iterable[_Plane]:
    quiet = _in_another_group(sums, o, shades)
    for i, c in _planes_of(sums, o):
        values = sums.kernel[o, i]
        shade = _shade(values.shape, slice(None), shades.get(o))
        yield _Plane(f"K.{o}.{i}", sums.kernel_name(o, i), values, shade, middles[c], quiet)


def _parts(
    sums: Sums, position: int, o: int, color: str, middles: Dict[int, float]
) -> Iterable[_Plane]:
    shade = _shade(sums.output.shape[1:], position, color)
    for i, c in _planes_of(sums, o):
        title = f"X[{c}] ∗ {sums.kernel_name(o, i)}"
        yield _Plane(f"P.{c}", title, sums.parts[o, i], shade, middles[c])


def _planes_of(sums: Sums, o: int) -> List[Tuple[int, int]]:
    """For each plane of the kernel of output channel o, its index and its input channel's."""
    return list(enumerate(sums.inputs_of(o)))[::-1]  # in the book's order


def _outputs(
    sums: Sums, position: int, shades: Dict[int, str], middle: float, in_the_middle: float
) -> Iterable[_Plane]:
    """The output planes; channel `in_the_middle` is level with the middle of the figure."""
    pitch = sums.output.shape[1] + OUTPUT_GAP
    for o, values in enumerate(sums.output):
        shade = _shade(values.shape, position, shades.get(o))
        y = middle + (in_the_middle - o) * pitch
        quiet = _in_another_group(sums, o, shades)
        yield _Plane(f"Y.{o}", sums.output_name(o), values, shade, y, quiet)


def _in_another_group(sums: Sums, o: int, shades: Dict[int, str]) -> bool:
    """Whether output channel o shares no input channel with those that are shown."""
    return all(sums.inputs_of(o) != sums.inputs_of(shown) for shown in shades)


def _shade(shape: Any, positions: Any, color: Optional[str]) -> np.ndarray:
    """An array of a plane's shape that has a color at some positions and None elsewhere."""
    shade = np.full(shape, None, dtype=object)
    shade.flat[positions] = color
    return shade

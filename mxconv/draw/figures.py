"""The chapter's two figures, for any small arrays: what they show is computed, not typed.

Channels are stacked as the book stacks them, the last on top.
"""

import numpy as np

from .. import _checks
from .._files import writable
from .paint import SUFFIXES, Grid, Mark, paint
from .sums import Limits, compute

LIMITS = Limits(across=10, channels=4, products=50)
SHADES = ("#9fd0f5", "#fdc583", "#abdc9c", "#d9c0ef")  # one per output channel
SHARED = "#dcdcdc"  # what several output channels use
GAP = 1.9  # cells from one row of grids to the next, for a sign and a title


def multi_in(X, K, path=None, output_channel=0, element=(0, 0), strides=1, padding=0, dilation=1):
    """The chapter's first figure: a cross-correlation per input channel, and their sum.

    Shaded are one output element and the elements it is computed from; below stands its sum.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_i, k_h, k_w) or (c_o, c_i, k_h, k_w)
    path : str or Path, optional
        Where to write the figure; an SVG or a PNG, by its suffix.
    output_channel : int
        The output channel that is taken apart, counted from 0.
    element : pair of int
        Row and column of the output element that is shaded, counted from 0.
    strides, padding, dilation : int or pair of int
        As in `MultiChannelConv2D`; the cells of the padding are dashed.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Wrong ranks or channels; more than 10 rows or columns with their padding, 4 input or output
        channels or 50 products in a sum; an output channel or element that isn't there; a path that
        isn't to an SVG or PNG in a directory that exists.
    TypeError
        Arguments of a wrong type.
    ImportError
        Without matplotlib, the extra `mxconv[plot]`.
    """
    path = path if path is None else writable(path, SUFFIXES)
    sums = compute(X, K, strides, padding, dilation, LIMITS)
    o = _checks.integer("output_channel", output_channel, 0)
    if o >= len(sums.output):
        raise ValueError(
            f"output_channel is out of range: expected one of {len(sums.output)}, counted from 0, "
            f"received output_channel={o}"
        )
    return _draw(sums, element, {o: SHADES[0]}, path)


def one_by_one(X, K, path=None, element=(0, 0)):
    """The chapter's second figure: a 1x1 kernel mixes the channels of each pixel.

    Shaded are one pixel in every channel of the input and of the output, and the kernel; below
    stands a sum for each output channel.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_i, 1, 1) or (c_o, c_i, 1, 1)
    path, element
        As in `multi_in`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError, ImportError
        As `multi_in`, and ValueError for a kernel that isn't 1x1.
    """
    path = path if path is None else writable(path, SUFFIXES)
    if _checks.ndarray("K", K).shape[-2:] != (1, 1):
        raise ValueError(f"one_by_one: expected a 1x1 kernel, received K.shape={K.shape}")
    sums = compute(X, K, 1, 0, 1, LIMITS)
    return _draw(sums, element, dict(enumerate(SHADES[: len(sums.output)])), path)


def _draw(sums, element, shades, path):
    """Draw the sums of one output element; `shades` has a colour for each output channel shown."""
    position = _position(sums, element)
    captions = [
        (f"{sums.output_name(o)}: " * (len(shades) > 1) + sums.written(o, position), shades[o])
        for o in sorted(shades, reverse=True)
    ]
    return paint(*_layout(sums, position, shades), captions, path)


def _position(sums, element):
    """The pair (row, column) as a position in an output plane, counted row by row."""
    i, j = _checks.pair("element", element, 0)
    o_h, o_w = sums.output.shape[1:]
    if i >= o_h or j >= o_w:
        raise ValueError(
            f"element is out of range: expected a row and a column of the {o_h}x{o_w} output, "
            f"counted from 0, received element={element!r}"
        )
    return i * o_w + j


def _layout(sums, position, shades):
    """The grids and the signs between them, from left to right."""
    c_o, c_i = sums.kernel.shape[:2]
    window, target = np.zeros(sums.border.shape, bool), np.zeros(sums.output.shape[1:], bool)
    window.flat[sums.windows[position]] = True
    target.flat[position] = True
    o, shade = next(iter(shades.items()))
    alone = len(shades) == 1
    seen = shade if alone else SHARED
    pitch = window.shape[0] + GAP
    ys = {c: row * pitch for row, c in enumerate(sums.order)}  # where the middles are, from above
    middle = np.mean(list(ys.values()))
    grids, marks = [], []

    def column(left, planes):
        """Add planes above each other, each with the y of its middle; the column's right end."""
        planes = list(planes)
        width = max(max(values.shape[1], 0.2 * len(title)) for _, title, values, *_ in planes)
        for name, title, values, lit, shade, y in planes:
            rows, columns = values.shape
            border = sums.border if name.startswith("X") else np.zeros(values.shape, bool)
            shade = np.where(np.broadcast_to(lit, values.shape), shade, None)
            corner = left + (width - columns) / 2, y - rows / 2
            grids.append(Grid(name, title, values, shade, border, *corner))
        return left + width

    def sign(left, text, ys):
        marks.extend(Mark(text, left + 0.8, y) for y in ys)
        return left + 1.6

    x = column(0, ((f"X.{c}", f"X[{c}]", sums.padded[c], window, seen, y) for c, y in ys.items()))
    x = sign(x, "∗", ys.values())
    for p in range(c_o):
        x = column(
            x + 0.5 * (p > 0),
            (
                (
                    f"K.{p}.{c}",
                    sums.kernel_name(p, c),
                    sums.kernel[p, c],
                    p in shades,
                    shades.get(p),
                    y,
                )
                for c, y in ys.items()
            ),
        )
    if alone and c_i > 1:
        left = sign(x, "=", ys.values())
        x = column(
            left,
            (
                (f"P.{c}", f"X[{c}] ∗ {sums.kernel_name(o, c)}", sums.parts[o, c], target, shade, y)
                for c, y in ys.items()
            ),
        )
        marks.extend(Mark("+", (left + x) / 2, y + pitch / 2) for y in list(ys.values())[:-1])
    x = sign(x, "=", [middle])
    centre = o if alone else (c_o - 1) / 2  # the output channel that stands in the middle
    column(
        x,
        (
            (
                f"Y.{p}",
                sums.output_name(p),
                sums.output[p],
                target & (p in shades),
                shades.get(p),
                middle + (centre - p) * (target.shape[0] + 1.2),
            )
            for p in range(c_o)
        ),
    )
    return grids, marks

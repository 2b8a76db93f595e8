"""Grids of numbers, signs and sums on one sheet, as matplotlib draws them and as a file.

Lengths are in cells of a grid, counted from the left and from the top.
"""

import io
import re
from collections import namedtuple

import numpy as np

from .._files import write
from .sums import number

SUFFIXES = (".svg", ".png")
# The same file at every run; its text is text, in any font without serifs.
METADATA = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}
STYLE = {"font.sans-serif": ["DejaVu Sans"], "svg.fonttype": "none", "svg.hashsalt": "mxconv"}

CELL = 0.45  # inches; more where the numbers are longer
FONT = 11  # points
INK, LINE, PALE = "#1a1a1a", "#555555", "#f1f1f1"
CENTRED = dict(ha="center", va="center", color=INK)

# A plane with its left upper corner; values, shade (a colour or None) and border (whether a cell is
# padding) are arrays of its shape. A shaded number is the SVG's element NAME.ROW.COLUMN.
Grid = namedtuple("Grid", "name title values shade border left top")
Mark = namedtuple("Mark", "text x y")


def paint(grids, marks, captions, path):
    """Draw grids, signs and, below them, sums of text and colour; write it if there is a path.

    Returns
    -------
    matplotlib.figure.Figure
    """
    matplotlib, Figure, Rectangle = _matplotlib()
    longest = max(len(number(value)) for grid in grids for value in grid.values.flat)
    cell = max(CELL, 0.09 * longest + 0.18)
    scale = CELL / cell  # titles and sums keep their size where cells are larger
    right = max(grid.left + grid.values.shape[1] for grid in grids)
    margin = 0.5 + max(0, 13 * scale - right) / 2  # room for the sum, too
    top = min(grid.top for grid in grids) - 0.9
    bottom = max(grid.top + grid.values.shape[0] for grid in grids)
    width = (right + 2 * margin - 1) / (0.27 * scale)
    sums = [(_lines(text, width), shade) for text, shade in captions]
    heights = [(0.5 * len(lines) + 0.6) * scale for lines, _ in sums]
    edges = dict(xlim=(-margin, right + margin), ylim=(bottom + 1 + sum(heights), top))
    size = [abs(end - start) * cell for start, end in edges.values()]

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=size, dpi=150)
        axes = figure.add_axes([0, 0, 1, 1], **edges)
        axes.set_axis_off()
        for grid in grids:
            _paint_grid(axes, Rectangle, grid)
        for text, x, y in marks:
            axes.text(x, y, text, fontsize=FONT + 6, **CENTRED)
        y = bottom + 0.7
        for n, ((lines, shade), height) in enumerate(zip(sums, heights)):
            axes.text(
                right / 2,
                y + height / 2,
                "\n".join(lines),
                gid=f"sum.{n}",
                fontsize=FONT + 1,
                linespacing=1.5,
                bbox=dict(facecolor=shade, edgecolor="none", pad=5),
                **CENTRED,
            )
            y += height
        if path is not None:
            picture = io.BytesIO()
            suffix = path.suffix.lower()
            figure.savefig(picture, format=suffix[1:], metadata=METADATA[suffix])
            write(path, picture.getvalue())
    return figure


def _paint_grid(axes, Rectangle, grid):
    middle = grid.left + grid.values.shape[1] / 2
    axes.text(middle, grid.top - 0.35, grid.title, fontsize=FONT - 1, **CENTRED)
    for (i, j), value in np.ndenumerate(grid.values):
        x, y, shade, padding = grid.left + j, grid.top + i, grid.shade[i, j], grid.border[i, j]
        axes.add_patch(
            Rectangle(
                (x, y),
                1,
                1,
                facecolor=shade or (PALE if padding else "white"),
                edgecolor=LINE,
                linestyle=(0, (2, 2)) if padding else "-",
                zorder=1 if padding else 2,
            )
        )
        axes.text(
            x + 0.5,
            y + 0.5,
            number(value),
            gid=f"{grid.name}.{i}.{j}" if shade else None,
            fontsize=FONT,
            zorder=3,
            **CENTRED,
        )


def _lines(text, width):
    """A sum broken after some "+" into lines of at most `width` characters, where that can be."""
    lines = [""]
    for term in re.findall(r"[^+]+\+?", text):
        if lines[-1] and len(lines[-1] + term) > width:
            lines.append("")
        lines[-1] += term
    return lines


def _matplotlib():
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
    except ImportError as error:
        raise ImportError(
            "the figures of mxconv.draw need matplotlib: pip install 'mxconv[plot]'"
        ) from error
    return matplotlib, Figure, Rectangle

"""Grids of numbers, signs and captions on one sheet, drawn by matplotlib and written to a file.

Lengths are in cells of a grid. They are measured from the left and from the top.
"""

import io
import re
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .._paths import write
from .sums import format_number

SUFFIXES = (".svg", ".png")
# Without a date or a version, every run writes the same file. An SVG holds its text as text, in any
# sans-serif font.
METADATA: Dict[str, Dict[str, Optional[str]]] = {
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
}
STYLE = {"font.sans-serif": ["DejaVu Sans"], "svg.fonttype": "none", "svg.hashsalt": "mxconv"}
_styling = threading.RLock()  # all threads share matplotlib's style

CELL = 0.45  # inches; more if the numbers are longer
FONT = 11  # points
INK, LINE, PALE = "#1a1a1a", "#555555", "#f1f1f1"
QUIET_INK, QUIET_LINE = "#6b6b6b", "#b5b5b5"
CENTERED = dict(ha="center", va="center")


class Grid(NamedTuple):
    """A plane of numbers. In an SVG, a shaded number is the element NAME.ROW.COLUMN."""

    name: str
    title: str
    values: np.ndarray
    shade: np.ndarray  # for each cell, a color or None
    border: np.ndarray  # for each cell, whether it is padding
    left: float
    top: float
    quiet: bool  # whether it takes no part in what is shown


class Mark(NamedTuple):
    """A sign between grids, and its center."""

    text: str
    x: float
    y: float


class Caption(NamedTuple):
    """A sum below the grids, and its background color."""

    text: str
    shade: str


class Sheet(NamedTuple):
    """The measures of a sheet."""

    left: float
    right: float
    top: float
    bottom: float
    cell: float  # the size of a cell, in inches
    grids_right: float  # where the grids end
    grids_bottom: float
    caption_lines: List[List[str]]
    caption_heights: List[float]


def paint(
    grids: Sequence[Grid],
    marks: Sequence[Mark],
    captions: Sequence[Caption],
    path: Optional[Path],
) -> Any:
    """Draw grids, signs and captions, and write the figure if there is a path.

    Returns
    -------
    mxconv.draw.inline.InlineFigure
        A matplotlib.figure.Figure that displays itself in a notebook.
    """
    InlineFigure, Rectangle = _import_matplotlib()
    sheet = _measure(grids, captions)
    size = [(sheet.right - sheet.left) * sheet.cell, (sheet.bottom - sheet.top) * sheet.cell]
    with _own_style():
        figure = InlineFigure(figsize=size, dpi=150)
        limits = dict(xlim=(sheet.left, sheet.right), ylim=(sheet.bottom, sheet.top))
        axes = figure.add_axes([0, 0, 1, 1], **limits)
        axes.set_axis_off()
        for grid in grids:
            _paint_grid(axes, Rectangle, grid)
        for text, x, y in marks:
            axes.text(x, y, text, fontsize=FONT + 6, color=INK, **CENTERED)
        _paint_captions(axes, captions, sheet)
    if path is not None:
        write(path, render(figure, path.suffix.lower()))
    return figure


def render(figure: Any, suffix: str) -> bytes:
    """Return the figure as a file of one of the `SUFFIXES`."""
    picture = io.BytesIO()
    with _own_style():
        figure.savefig(picture, format=suffix[1:], metadata=METADATA[suffix])
    return picture.getvalue()


@contextmanager
def _own_style() -> Iterator[None]:
    """Draw as `STYLE` says, whatever the user's style is, which stays as it is."""
    import matplotlib

    with _styling, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def _measure(grids: Sequence[Grid], captions: Sequence[Caption]) -> Sheet:
    longest = max(len(format_number(value)) for grid in grids for value in grid.values.flat)
    cell = max(CELL, 0.09 * longest + 0.18)
    scale = CELL / cell  # captions keep their size in inches, so they take fewer larger cells
    right = max(grid.left + grid.values.shape[1] for grid in grids)
    bottom = max(grid.top + grid.values.shape[0] for grid in grids)
    margin = 0.5 + max(0, 13 * scale - right) / 2  # makes room for the captions, too
    width = (right + 2 * margin - 1) / (0.27 * scale)  # of a caption, in characters
    lines = [break_lines(caption.text, width) for caption in captions]
    heights = [(0.5 * len(texts) + 0.6) * scale for texts in lines]
    return Sheet(
        left=-margin,
        right=right + margin,
        top=min(grid.top for grid in grids) - 0.9,
        bottom=bottom + 1 + sum(heights),
        cell=cell,
        grids_right=right,
        grids_bottom=bottom,
        caption_lines=lines,
        caption_heights=heights,
    )


def break_lines(text: str, width: float, after: str = "+") -> List[str]:
    """A sum, broken after "+" signs into lines of at most `width` characters where possible."""
    lines = [""]
    for term in re.findall(f"[^{after}]+[{after}]?", text):
        if lines[-1] and len(lines[-1] + term) > width:
            lines.append("")
        lines[-1] += term
    return lines


def _paint_grid(axes: Any, Rectangle: Any, grid: Grid) -> None:
    middle = grid.left + grid.values.shape[1] / 2
    ink, line = (QUIET_INK, QUIET_LINE) if grid.quiet else (INK, LINE)
    axes.text(middle, grid.top - 0.35, grid.title, fontsize=FONT - 1, color=ink, **CENTERED)
    for (i, j), value in np.ndenumerate(grid.values):
        x, y, shade, padding = grid.left + j, grid.top + i, grid.shade[i, j], grid.border[i, j]
        axes.add_patch(
            Rectangle(
                (x, y),
                1,
                1,
                facecolor=shade or (PALE if padding else "white"),
                edgecolor=line,
                linestyle=(0, (2, 2)) if padding else "-",
                zorder=1 if padding else 2,
            )
        )
        axes.text(
            x + 0.5,
            y + 0.5,
            format_number(value),
            gid=f"{grid.name}.{i}.{j}" if shade else None,
            fontsize=FONT,
            color=ink,
            zorder=3,
            **CENTERED,
        )


def _paint_captions(axes: Any, captions: Sequence[Caption], sheet: Sheet) -> None:
    y = sheet.grids_bottom + 0.7
    for n, (caption, lines, height) in enumerate(
        zip(captions, sheet.caption_lines, sheet.caption_heights)
    ):
        axes.text(
            sheet.grids_right / 2,
            y + height / 2,
            "\n".join(lines),
            gid=f"sum.{n}",
            fontsize=FONT + 1,
            color=INK,
            linespacing=1.5,
            bbox=dict(facecolor=caption.shade, edgecolor="none", pad=5),
            **CENTERED,
        )
        y += height


def _import_matplotlib() -> Tuple[Any, Any]:
    try:
        import matplotlib.patches

        from .inline import InlineFigure
    except ImportError as error:
        raise ImportError(
            "mxconv.draw.multi_in and one_by_one need matplotlib: run  "
            'python -m pip install "mxconv[plot]"'
        ) from error
    return InlineFigure, matplotlib.patches.Rectangle

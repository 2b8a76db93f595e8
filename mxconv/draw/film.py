"""An animation, laid out: where cells, numbers and signs are, and what each frame shows of them.

Lengths are in pixels, measured from the left and from the top. Cells begin at whole pixels, which
keeps their lines sharp.
"""

from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

import numpy as np

from .paint import break_lines
from .steps import Story
from .sums import Sums, format_number

FONT, TITLE_FONT, SIGN_FONT = 16, 14, 26
DIGIT, LETTER, TERM = 10.5, 9, 12  # widths of characters: of a number, a title and a sum
CELL = 36  # the height of a cell, and the least width
GAP = 24  # above a plane, for its title, and below
KERNEL_GAP = 18  # between the columns of two output channels' kernels
SIGN_WIDTH = 52
MARGIN = 20
LEAST_WIDTH = 560  # makes room for the sum
LINE = 28  # the height of a line of the sum


class Cell(NamedTuple):
    """A cell, by its top left corner; `border` says whether it is padding."""

    x: int
    y: int
    border: bool


class Text(NamedTuple):
    """A text, by its center. It is shown from frame `since` on, up to but not in `until`."""

    text: str
    x: float
    y: float
    font: int
    cell: str = ""  # the name of the cell whose number it is
    since: int = 0
    until: Optional[int] = None

    def is_in(self, frame: int) -> bool:
        """Whether it is shown in a frame."""
        return self.since <= frame and (self.until is None or frame < self.until)


class Frame(NamedTuple):
    """What a single frame shows: the cells that are lit, and the sum below the picture."""

    lit: List[str]
    channel: int  # gives the color
    caption: List[str]  # lines, which are the sum if they are joined


class Film(NamedTuple):
    """An animation. Its last frame takes twice as long, so that the result can be looked at."""

    title: str
    width: int  # even, like the height, as videos need it
    height: int
    picture_height: int  # without the sum
    cell_width: int
    cells: Dict[str, Cell]  # by their names
    texts: List[Text]
    frames: List[Frame]

    @property
    def beats(self) -> int:
        """How many times as long as a frame the whole is."""
        return len(self.frames) + 1

    @property
    def pixels(self) -> int:
        """How many pixels all frames have together."""
        return len(self.frames) * self.width * self.height

    def line_y(self, line: int) -> float:
        """The center of a line of the sum."""
        return self.picture_height + (line + 0.5) * LINE


def lay_out(
    title: str, sums: Sums, story: Story, channels: Sequence[int], transposed: bool
) -> Film:
    """Lay out X ∗ K = Y or, if transposed, X × K → Y, with the kernels of some output channels."""
    texts = _texts(story, {f"K.{o}.{i}": k for o in channels for i, k in enumerate(sums.kernel[o])})
    longest = max(len(text) for changes in texts.values() for text in changes.values())
    board = _Board(max(CELL, round(DIGIT * longest) + 8))
    height = _place(board, sums, channels, transposed)
    width = board.center_in(LEAST_WIDTH)
    frames = [
        Frame(step.lit, step.channel, _lines(step.caption, width, "," if transposed else "+"))
        for step in story.steps
    ]
    lines = max(len(frame.caption) for frame in frames)
    return Film(
        title=title,
        width=_even(width),
        height=_even(height + lines * LINE + MARGIN),
        picture_height=_even(height),
        cell_width=board.cell_width,
        cells=board.cells,
        texts=board.texts + list(board.numbers(texts)),
        frames=frames,
    )


def _even(length: float) -> int:
    return 2 * round(length / 2)


def _lines(caption: Sequence[str], width: float, after: str) -> List[str]:
    """The sums of a frame in lines that fit; all but the last sum end in a semicolon."""
    most = (width - 2 * MARGIN) / TERM
    ended = [text + "; " for text in caption[:-1]] + [caption[-1]]
    return [line for text in ended for line in break_lines(text, most, after)]


def _texts(story: Story, kernels: Dict[str, np.ndarray]) -> Dict[str, Dict[int, str]]:
    """The texts of each cell, by the frame from which on they are shown."""
    texts: Dict[str, Dict[int, str]] = {}
    for plane, values in {**story.start, **kernels}.items():
        for (i, j), value in np.ndenumerate(values):
            texts[f"{plane}.{i}.{j}"] = {0: format_number(value)}
    for n, step in enumerate(story.steps):
        for name, value in step.numbers.items():
            texts.setdefault(name, {})[n] = format_number(value)
    return texts


class _Plane(NamedTuple):
    """A plane that has yet to be placed in a column."""

    name: str
    title: str
    border: np.ndarray  # for each cell, whether it is padding
    middle: float  # its distance from the top


class _Board:
    """Planes and signs, placed from left to right."""

    def __init__(self, cell_width: int) -> None:
        self.cell_width = cell_width
        self.cells: Dict[str, Cell] = {}
        self.texts: List[Text] = []
        self.right = 0.0

    def add_column(self, planes: Sequence[_Plane]) -> None:
        """Place planes above each other, centered in a column as wide as the widest."""
        width = max(max(p.border.shape[1] * self.cell_width, LETTER * len(p.title)) for p in planes)
        for name, title, border, middle in planes:
            rows, columns = border.shape
            left = round(self.right + (width - columns * self.cell_width) / 2)
            top = round(middle - rows * CELL / 2)
            for (i, j), padding in np.ndenumerate(border):
                x, y = left + j * self.cell_width, top + i * CELL
                self.cells[f"{name}.{i}.{j}"] = Cell(x, y, bool(padding))
            self.texts.append(Text(title, self.right + width / 2, top - GAP / 2, TITLE_FONT))
        self.right += width

    def add_sign(self, text: str, ys: Iterable[float]) -> None:
        """Place a sign at each height."""
        x = self.right + SIGN_WIDTH / 2
        self.texts += [Text(text, x, y, SIGN_FONT) for y in ys]

    def center_in(self, least: float) -> float:
        """Move everything to the middle of a sheet, and return its width."""
        width = max(least, self.right + 2 * MARGIN)
        shift = round((width - self.right) / 2)
        self.cells = {name: cell._replace(x=cell.x + shift) for name, cell in self.cells.items()}
        self.texts = [text._replace(x=text.x + shift) for text in self.texts]
        return width

    def numbers(self, texts: Dict[str, Dict[int, str]]) -> Iterable[Text]:
        """Place the texts of the cells."""
        for name, changes in texts.items():
            left, top, _ = self.cells[name]
            x, y = left + self.cell_width / 2, top + CELL / 2
            for (since, text), until in zip(changes.items(), [*list(changes)[1:], None]):
                yield Text(text, x, y, FONT, name, since, until)


def _place(board: _Board, sums: Sums, channels: Sequence[int], transposed: bool) -> float:
    """Place planes and signs, and return the height that they take.

    Each group has a block. In it, every channel of the convolution's input has a row, with the
    kernels' planes for it, and the output's planes are beside the rows. As in the figures, the last
    channel is on top.
    """
    per_group, no_padding = sums.kernel.shape[1], np.zeros(sums.output.shape[1:], bool)
    members = [
        [o for o in channels if sums.inputs_of(o)[0] == g * per_group] for g in range(sums.groups)
    ]
    row_height = max(len(sums.border), sums.kernel.shape[2]) * CELL + 2 * GAP
    output_height = len(no_padding) * CELL + 2 * GAP
    block = max(per_group * row_height, max(map(len, members)) * output_height)
    rows_name, outputs_name = ("Y", "X") if transposed else ("X", "Y")

    rows: List[_Plane] = []
    outputs: List[_Plane] = []
    kernels: List[List[_Plane]] = [[] for _ in range(max(map(len, members)))]
    centers, row_centers, plus = [], [], []  # where signs go
    for g, outputs_of_group in enumerate(members):
        center = (sums.groups - g - 0.5) * block
        ys = _stack(center, per_group, row_height)
        for i, y in enumerate(ys):
            c = g * per_group + i
            rows.append(_Plane(f"{rows_name}.{c}", f"{rows_name}[{c}]", sums.border, y))
        output_ys = _stack(center, len(outputs_of_group), output_height)
        for column, o, output_y in zip(kernels, outputs_of_group, output_ys):
            for i, y in enumerate(ys):
                border = np.zeros(sums.kernel.shape[2:], bool)
                column.append(_Plane(f"K.{o}.{i}", sums.kernel_name(o, i), border, y))
            title = sums.output_name(o).replace("Y", outputs_name)
            outputs.append(_Plane(f"{outputs_name}.{o}", title, no_padding, output_y))
        if outputs_of_group:
            centers.append(center)
            row_centers += ys
            plus += [y - row_height / 2 for y in ys[:-1]]

    board.add_column(outputs if transposed else rows)
    if transposed:
        board.add_sign("×", centers)
    else:
        board.add_sign("∗", row_centers)
        board.add_sign("+", plus)
    board.right += SIGN_WIDTH
    for n, column in enumerate(kernels):
        board.right += KERNEL_GAP * (n > 0)
        board.add_column(column)
    board.add_sign("→" if transposed else "=", centers)
    board.right += SIGN_WIDTH
    board.add_column(rows if transposed else outputs)
    return block * sums.groups


def _stack(center: float, n: int, height: float) -> List[float]:
    """The centers of n slots of one height, the first at the bottom."""
    return [center + ((n - 1) / 2 - k) * height for k in range(n)]

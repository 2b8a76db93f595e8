"""What an animation tells, frame by frame: the cells to light, the numbers that change, the sum."""

from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np

from .sums import Sums, as_factor, format_number, is_shown_exactly


class Step(NamedTuple):
    """A frame. The name of a cell is PLANE.CHANNEL.ROW.COLUMN, as in the figures."""

    lit: List[str]
    channel: int  # of the convolution's output
    caption: List[str]  # a sum, or one for each channel
    numbers: Dict[str, float]  # of the cells that change


class Story(NamedTuple):
    """The planes of X and Y that have numbers from the start, by their names, and the steps."""

    start: Dict[str, np.ndarray]
    steps: List[Step]


def convolution(sums: Sums, channels: Sequence[int]) -> Story:
    """Compute an element of Y in each step: output channel by output channel, row by row."""
    steps = []
    for o in channels:
        for position, value in enumerate(sums.output[o].flat):
            lit = _cells(f"Y.{o}", sums.output[o].shape, [position])
            for i, c in enumerate(sums.inputs_of(o)):
                lit += _cells(f"X.{c}", sums.border.shape, sums.windows[position])
                lit += _cells(f"K.{o}.{i}", sums.kernel[o, i].shape)
            name = f"{sums.output_name(o)}: " * (len(sums.output) > 1)
            caption = [name + sums.spell_out(o, position)]
            steps.append(Step(lit, o, caption, {lit[0]: value}))
    return Story({f"X.{c}": plane for c, plane in enumerate(sums.padded)}, steps)


@np.errstate(over="ignore", invalid="ignore")  # what becomes Inf or NaN is shown as that
def transposed(sums: Sums, X: np.ndarray, channels: Sequence[int]) -> Story:
    """Add an element of X, times its kernel, to Y in each step.

    Parameters
    ----------
    sums : Sums
        Those of the convolution that this one is the transpose of, for an input of the shape of Y.
        Of its numbers, only the kernel's are used.
    X : array of shape (c_o, o_h, o_w)
    channels : sequence of int
        The channels of X to add.
    """
    Y = np.zeros(sums.padded.shape)
    start = {f"X.{o}": X[o] for o in channels}
    start.update({f"Y.{c}": plane.copy() for c, plane in enumerate(Y)})
    steps = []
    for o in channels:
        for position, factor in enumerate(X[o].flat):
            window = sums.windows[position]
            lit, caption = _cells(f"X.{o}", X[o].shape, [position]), []
            numbers: Dict[str, float] = {}
            for i, c in reversed(list(enumerate(sums.inputs_of(o)))):
                kernel, before = sums.kernel[o, i].ravel(), Y[c].flat[window]
                Y[c].flat[window] = after = before + factor * kernel
                stamped = _cells(f"Y.{c}", sums.border.shape, window)
                lit += _cells(f"K.{o}.{i}", sums.kernel[o, i].shape) + stamped
                numbers.update(zip(stamped, after))
                added = [_spell_added(factor, *terms) for terms in zip(before, kernel, after)]
                caption.append(f"Y[{c}]: " * (len(Y) > 1) + ", ".join(added))
            steps.append(Step(lit, o, caption, numbers))
    return Story(start, steps)


def _cells(plane: str, shape: Sequence[int], positions: Any = None) -> List[str]:
    """The names of a plane's cells: of all, or of those at positions, counted row by row."""
    positions = range(shape[0] * shape[1]) if positions is None else positions
    return [f"{plane}.{position // shape[1]}.{position % shape[1]}" for position in positions]


def _spell_added(factor: float, before: float, kernel: float, after: float) -> str:
    """The sum of an element of Y and the product that is added to it."""
    sign = "=" if all(map(is_shown_exactly, (factor, before, kernel, after))) else "≈"
    product = f"{as_factor(factor)}×{as_factor(kernel)}"
    return f"{format_number(before)}+{product} {sign} {format_number(after)}"

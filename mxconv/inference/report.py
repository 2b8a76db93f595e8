"""What `for_inference` did to a network, and what it brought."""

import textwrap
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

WIDTH = 100  # of the table
MAX_NAMES = 4  # of outputs


class Step(NamedTuple):
    """A pass, or several that belong together.

    Attributes
    ----------
    name, what : str
        What the pass is, and what it did or why it was dropped.
    seconds : None or float
        The time of a call with it: that of the first step, divided by the gains since. None if
        nothing was measured.
    gain : None or float
        How many times faster the network is with it than without.
    kept : bool
        Whether the network goes through it.
    """

    name: str
    what: str
    seconds: Optional[float] = None
    gain: Optional[float] = None
    kept: bool = True


@dataclass(frozen=True)
class Report:
    """What `for_inference` did; `print` shows it as a table.

    Attributes
    ----------
    steps : tuple of Step
        In order. The first is the network of MXNet's operators, hybridized with both static
        flags: what it was if its layers are `nn.Conv2D`.
    convolutions : tuple of str
        The convolutions that aren't MXNet's operator any more, or with which nothing is fused.
    errors : dict of float
        The largest difference from the network itself, relative to the output's largest element,
        by output and batch.
    tolerance : float
        What `errors` may be at most.
    amplification : None or float
        How many times the network amplifies rounding errors. It is measured if a step is off by
        more than the tolerance, which it may raise; None if none was, or a tolerance was given.
    gain, gain_over_fused : None or float
        How many times faster the network is than with MXNet's operators, and than with its own
        fusion (`optimize_for`), timed once more; None if nothing was measured.
    machine : str
        The processor, its threads and the version of MXNet.
    """

    steps: Tuple[Step, ...]
    convolutions: Tuple[str, ...]
    errors: Dict[str, float]
    tolerance: float
    amplification: Optional[float]
    gain: Optional[float]
    gain_over_fused: Optional[float]
    machine: str

    @property
    def summary(self) -> str:
        """What it brought in all, in a few words."""
        if self.gain is None:
            return "made by the rules or from a file"
        over = self.gain_over_fused
        fused = f", and {over:.2f} times as fast as with its fusion only" if over else ""
        return f"{self.gain:.2f} times as fast as with MXNet's operators{fused}"

    def __str__(self) -> str:
        """Return the tables."""
        lines = _table(self.steps)
        if self.gain is not None:
            lines += ["", "gain: how many times as fast as with the kept rows above it"]
            lines += [f"in all, timed once more: {self.summary}"]
        if self.convolutions:
            lines += ["", "convolutions that are faster in another way:"]
            lines += [f"  {text}" for text in self.convolutions]
        amplified = ""
        if self.amplification is not None:
            amplified = f"; the network amplifies rounding errors {self.amplification:.0f} times"
        worst = max(self.errors, key=lambda name: self.errors[name])
        lines += [
            "",
            f"largest difference: {self.errors[worst]:.1e} of the largest element of {worst}, "
            f"allowed {self.tolerance:.1e}{amplified}",
            f"compared with the original: {_listed(list(self.errors))}",
            f"on {self.machine}",
        ]
        return "\n".join(part for line in lines for part in _wrapped(line, "  "))


def _table(steps: Sequence[Step]) -> List[str]:
    """Return the steps as a table, whose last column is wrapped."""
    is_measured = any(step.seconds is not None for step in steps)
    rows = [("pass", "ms", "gain", "kept", "what it did")]
    for step in steps:
        ms = "" if step.seconds is None else f"{1000 * step.seconds:.3g}"
        gain = "" if step.gain is None else f"{step.gain:.2f}"
        is_start = step.seconds is not None and step.gain is None
        kept = "" if is_start else "yes" if step.kept else "no"
        rows.append((step.name, ms, gain, kept, step.what))
    if not is_measured:
        rows = [(name, "", "", kept, what) for name, _, _, kept, what in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for name, ms, gain, kept, what in rows:
        cells = name.ljust(widths[0]), ms.rjust(widths[1]), gain.rjust(widths[2]), kept.ljust(4)
        start = "  ".join(cell for cell, width in zip(cells, widths) if width) + "  "
        lines += _wrapped(start + what, " " * len(start))
    return lines


def _wrapped(line: str, indent: str) -> List[str]:
    return textwrap.wrap(
        line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ) or [""]


def _listed(names: List[str]) -> str:
    shown = ", ".join(names[:MAX_NAMES])
    return shown + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")

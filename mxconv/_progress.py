"""The progress of what takes longer than a few seconds, shown on standard error."""

import sys
from typing import Any, Collection, Iterable, Iterator


def progress_of(items: Collection[Any], function: str, unit: str, show: bool) -> Iterable[Any]:
    """Yield items one by one, and show how far a function of mxconv has come.

    It is shown with tqdm if that is installed and standard error is a terminal, and otherwise with
    one line per item.

    Parameters
    ----------
    items : collection
    function : str
        The function's name.
    unit : str
        What an item is.
    show : bool
        Whether to show anything.
    """
    if not show:
        return items
    if sys.stderr.isatty():  # anywhere else, every update of the bar would be kept
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            bar: Iterable[Any] = tqdm(items, desc=f"mxconv.{function}", unit=unit)
            return bar
    return _in_lines(items, function, unit)


def _in_lines(items: Collection[Any], function: str, unit: str) -> Iterator[Any]:
    """Yield the items, and print a line before each."""
    for number, item in enumerate(items, 1):
        say(function, f"{unit} {number} of {len(items)}")
        yield item


def say(function: str, text: str) -> None:
    """Print a line of progress."""
    print(f"mxconv.{function}: {text}", file=sys.stderr, flush=True)

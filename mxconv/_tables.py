"""Tables as text."""

from typing import Any, Iterable, List, Sequence


def aligned(rows: Iterable[Sequence[Any]]) -> List[str]:
    """Return rows of cells as aligned lines: the first column flush left, the others flush right.

    Integers get thousands separators.

    >>> aligned([("kernel", "MACs"), ("3x3", 9000)])
    ['kernel   MACs', '3x3     9,000']
    """
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(n) for c, n in zip(row[1:], widths[1:]))])
        for row in texts
    ]


def x_joined(sizes: Iterable[int]) -> str:
    """Return sizes joined by an x.

    >>> x_joined((3, 5))
    '3x5'
    """
    return "x".join(map(str, sizes))

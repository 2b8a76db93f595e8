"""Tables as text."""


def aligned(rows):
    """Lines of text for rows of cells: the first column to the left, the others to the right.

    Whole numbers get commas between thousands.
    """
    rows = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(n) for c, n in zip(row[1:], widths[1:]))])
        for row in rows
    ]

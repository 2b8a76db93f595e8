"""A page on which every sum can be clicked: the numbers from mxconv, the rest in page.html."""

import html
import json
import pkgutil
from string import Template

import numpy as np

from .._files import writable, write
from .sums import Limits, compute, number

LIMITS = Limits(across=16, channels=8, products=100)
TITLE = "Multiple input and output channels"


def page(X, K, path, strides=1, padding=0, dilation=1, title=TITLE):
    """Write one HTML file that shows X, K and their cross-correlation, and spells out each sum.

    A reader chooses an output element, by pointer, touch or keyboard, or plays them all: the
    elements it is computed from light up, and the sum stands below as the book writes it. The file
    holds all it needs, and asks no network for anything.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_i, k_h, k_w) or (c_o, c_i, k_h, k_w)
    path : str or Path
        The file to write, .html; an older one is replaced all at once.
    strides, padding, dilation : int or pair of int
        As in `MultiChannelConv2D`; the cells of the padding are dashed.
    title : str
        The heading, as plain text.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        Wrong ranks or channels; more than 16 rows or columns with their padding, 8 input or output
        channels or 100 products in a sum; a path that isn't to an .html in a directory that exists.
    TypeError
        Arguments of a wrong type.
    """
    path = writable(path, (".html", ".htm"))
    if not isinstance(title, str):
        raise TypeError(f"title has the wrong type: expected a str, received title={title!r}")
    sums = compute(X, K, strides, padding, dilation, LIMITS)
    shape = sums.output.shape if sums.stacked else sums.output.shape[1:]
    summary = [f"X {X.shape} ∗ K {K.shape} = Y {shape}"]
    settings = (("strides", strides, 1), ("padding", padding, 0), ("dilation", dilation, 1))
    summary += [f"{name} {value}" for name, value, default in settings if value != default]
    summary += ["dashed cells are padding"] * bool(sums.border.any())
    template = Template(pkgutil.get_data(__package__, "page.html").decode("utf-8"))
    text = template.substitute(
        title=html.escape(title),
        summary=html.escape("; ".join(summary)),
        data=json.dumps(_data(sums), ensure_ascii=False),
    )
    write(path, text.encode("utf-8"))
    return path


def _data(sums):
    """What the page shows: numbers as text, positions in planes counted row by row."""
    outputs = [
        dict(
            _plane(sums.output_name(o), plane),
            kernels=[_plane(sums.kernel_name(o, c), sums.kernel[o, c]) for c in sums.order],
            sums=[sums.written(o, position) for position in range(plane.size)],
        )
        for o, plane in enumerate(sums.output)
    ]
    return {
        "inputs": [_plane(f"X[{c}]", sums.padded[c]) for c in sums.order],
        "border": np.flatnonzero(sums.border).tolist(),  # the padding
        "windows": sums.windows.tolist(),  # per output element, what it sees of each input
        "outputs": outputs,
    }


def _plane(name, values):
    return {"name": name, "rows": [[number(value) for value in row] for row in values]}

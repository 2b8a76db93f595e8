"""An interactive page that spells out every sum: numbers from here, all else from page.html."""

import html
import json
import pkgutil
from pathlib import Path
from string import Template
from typing import Any, Dict

import numpy as np

from .._paths import writable, write
from .sums import Limits, Sums, compute_sums, format_number

LIMITS = Limits(across=16, channels=8, products=100)
TITLE = "Multiple input and output channels"


def page(
    X: Any,
    K: Any,
    path: Any,
    strides: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    title: str = TITLE,
) -> Path:
    """Write an HTML page that shows X, K and their cross-correlation, and spells out each sum.

    Readers select an output element with the pointer, by touch or with the keyboard, or play all of
    them in turn. The elements it is computed from light up, and its sum appears below as the book
    writes it. The file is self-contained and never uses the network.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_i, k_h, k_w) or (c_o, c_i, k_h, k_w)
    path : str or Path
        The file to write, ending in '.html'. It is replaced atomically.
    strides, padding, dilation : int or pair of int
        As in `MultiChannelConv2D`. Cells of the padding are dashed.
    title : str
        The heading, as plain text.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the ranks or channels are wrong; if there are more than 16 rows or columns with padding,
        8 input or output channels, or 100 products in a sum; or if the path isn't to an .html file
        in an existing directory.
    TypeError
        If an argument has the wrong type.

    See Also
    --------
    multi_in, one_by_one : The chapter's figures, as SVG or PNG.

    Examples
    --------
    >>> X, K = nd.arange(18).reshape((2, 3, 3)), nd.arange(8).reshape((2, 2, 2))
    >>> print(page(X, K, "page.html", padding=1))
    page.html
    """
    path = writable(path, (".html", ".htm"))
    if not isinstance(title, str):
        raise TypeError(f"title has the wrong type: expected a str, received title={title!r}")
    sums = compute_sums(X, K, strides, padding, dilation, LIMITS)
    shape = sums.output.shape if sums.stacked else sums.output.shape[1:]
    summary = [f"X {X.shape} ∗ K {K.shape} = Y {shape}"]
    settings = (("strides", strides, 1), ("padding", padding, 0), ("dilation", dilation, 1))
    summary += [f"{name} {value}" for name, value, default in settings if value != default]
    summary += ["dashed cells are padding"] * bool(sums.border.any())
    template = pkgutil.get_data(__package__, "page.html")
    assert template is not None  # as it is for loaders that can't read data files
    text = Template(template.decode("utf-8")).substitute(
        title=html.escape(title),
        summary=html.escape("; ".join(summary)),
        data=json.dumps(_data(sums), ensure_ascii=False),
    )
    write(path, text.encode("utf-8"))
    return path


def _data(sums: Sums) -> Dict[str, Any]:
    """What the page shows, with numbers as text; positions count a plane's cells row by row."""
    outputs = [
        dict(
            _plane(sums.output_name(o), plane),
            kernels=[_plane(sums.kernel_name(o, c), sums.kernel[o, c]) for c in sums.order],
            sums=[sums.spell_out(o, position) for position in range(plane.size)],
        )
        for o, plane in enumerate(sums.output)
    ]
    return {
        "inputs": [_plane(f"X[{c}]", sums.padded[c]) for c in sums.order],
        "border": np.flatnonzero(sums.border).tolist(),  # the positions of the padding
        "windows": sums.windows.tolist(),  # for each output element, those in its window
        "outputs": outputs,
    }


def _plane(name: str, values: np.ndarray) -> Dict[str, Any]:
    return {"name": name, "rows": [[format_number(value) for value in row] for row in values]}

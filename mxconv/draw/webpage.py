"""A page in which every sum of a small cross-correlation can be taken apart.

Its numbers come from here, all else from page/. The browser computes what it shows, so that a
reader can change the arrays and the settings; the tests compare that with mxconv's functions.
"""

import html
import json
import math
import pkgutil
from pathlib import Path
from string import Template
from typing import Any, Dict, Mapping, Optional, Sequence

from .._paths import writable, write
from ..geometry import ConvGeometry
from .sums import Limits, check_convolution, refuse_undrawn, to_numpy

LIMITS = Limits(across=16, channels=8, products=100)
IMAGE_LIMITS = Limits(across=256, channels=16, products=400)
TITLE = "Multiple input and output channels"
COLORS = ("red", "green", "blue")
SCRIPTS = (
    *("numbers", "convolution", "state", "link", "plane"),
    *("stage", "sum", "steps", "controls", "show", "main"),
)


class Page:
    """A page as HTML, which displays itself in a notebook.

    Attributes
    ----------
    html : str
        The whole page, a self-contained file.
    path : pathlib.Path or None
        Where it was written.
    """

    def __init__(self, text: str, path: Optional[Path]) -> None:
        self.html = text
        self.path = path

    def __repr__(self) -> str:
        where = f" in {str(self.path)!r}" if self.path else ""
        return f"<mxconv.draw.Page{where}, {len(self.html)} characters of HTML>"

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own, which keeps its style and script to itself."""
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" sandbox="allow-scripts" '
            'style="width: 100%; height: 50rem; border: 1px solid #767676; box-sizing: border-box" '
            'title="Multiple input and output channels"></iframe>'
        )


@refuse_undrawn
def page(
    X: Any,
    K: Any,
    path: Any = None,
    strides: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    padding_mode: Any = "zeros",
    title: str = TITLE,
    images: Optional[Mapping[str, Any]] = None,
) -> Page:
    """Make an HTML page that shows X, K and their cross-correlation, and takes each sum apart.

    Readers point at an output element and see what it is computed from; step through its input
    channels and their products; point at an element of X or K and see the products that it is in;
    edit numbers, and change shapes, stride, padding, dilation and groups, with the cost of each.
    The address of the page holds what it shows, to link to it. The file is self-contained and
    never uses the network.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
    K : NDArray of shape (c_o, c_i / groups, k_h, k_w) or (c_i, k_h, k_w)
    path : str or Path, optional
        The file to write, ending in '.html'. It is replaced atomically. Without one, nothing is
        written, and the page displays itself in a notebook.
    strides, padding, dilation, groups, padding_mode
        As in `MultiChannelConv2D`. Cells of the padding are dashed.
    title : str
        The heading, as plain text.
    images : dict, optional
        Larger inputs that the page shows as pictures: by name, a pair of an NDArray
        (c_i, h, w) and a dict of kernels, each by name an NDArray (c_o, c_i, k_h, k_w). Their
        padding is 'same'. Three channels of whole numbers from 0 to 255 are those of a
        photograph: the page calls them red, green and blue.

    Returns
    -------
    Page
        With the attributes `html` and `path`; it displays itself in a notebook.

    Raises
    ------
    ValueError
        If the ranks or channels are wrong; if there are more than 16 rows or columns with padding,
        8 input or output channels, or 100 products in a sum (256, 16 and 400 for an image); or if
        the path isn't to an .html file in an existing directory.
    TypeError
        If an argument has the wrong type, or isn't drawn, such as a bias.

    See Also
    --------
    multi_in, one_by_one : The chapter's figures, as SVG or PNG.

    Examples
    --------
    >>> X, K = nd.arange(18).reshape((2, 3, 3)), nd.arange(8).reshape((2, 2, 2))
    >>> page(X, K, "page.html", padding=1).path.name
    'page.html'
    """
    path = path if path is None else writable(path, (".html", ".htm"))
    if not isinstance(title, str):
        raise TypeError(f"title has the wrong type: expected a str, received title={title!r}")
    geometry = check_convolution(X, K, strides, padding, dilation, LIMITS, groups, padding_mode)
    scenes = [_scene("numbers", X, {"": (K, geometry)})]
    for name, image in _named("images", images or {}).items():
        scenes.append(_image_scene(name, image))
    data = dict(scenes=scenes, limits=_limits(LIMITS), imageLimits=_limits(IMAGE_LIMITS))
    text = Template(_part("page.html")).substitute(
        title=html.escape(title),
        style=_part("page.css"),
        # "<" could end the script that holds the data.
        data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
        scripts="\n".join(f"<script>\n{_part(f'{name}.js')}</script>" for name in SCRIPTS),
    )
    if path is not None:
        write(path, text.encode("utf-8"))
    return Page(text, path)


def _image_scene(name: str, image: Any) -> Dict[str, Any]:
    if not isinstance(image, (tuple, list)) or len(image) != 2:
        raise TypeError(
            f"expected a pair of an NDArray and a dict of kernels, received images[{name!r}]="
            f"{type(image).__name__}"
        )
    X, kernels = image
    kernels = _named(f"images[{name!r}][1]", kernels)
    if not kernels:
        raise ValueError(f"expected at least one kernel, received none in images[{name!r}]")
    checked = {}
    for kernel, K in kernels.items():
        try:
            checked[kernel] = K, check_convolution(X, K, 1, "same", 1, IMAGE_LIMITS)
        except (TypeError, ValueError) as error:
            raise type(error)(f"images[{name!r}], kernel {kernel!r}: {error}") from None
    return _scene(name, X, checked, COLORS if _is_photograph(X) else ())


def _is_photograph(X: Any) -> bool:
    """Whether an image (c_i, h, w) has the channels and the numbers of a photograph.

    The largest is above 1, as in no mask.
    """
    values = to_numpy(X)
    is_in_range = len(values) == len(COLORS) and values.min() >= 0 and 1 < values.max() <= 255
    return bool(is_in_range and (values == values.round()).all())


def _named(argument: str, value: Any) -> Mapping[str, Any]:
    """Return a dict with names as keys; raise a TypeError for anything else."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"expected a dict with names as keys, received {argument}={value!r:.80}")
    return value


def _scene(
    name: str, X: Any, kernels: Mapping[str, Any], colors: Sequence[str] = ()
) -> Dict[str, Any]:
    """What the page shows of one input and its kernels, which all have a geometry."""
    return dict(
        name=name,
        colors=colors,
        X=_array(X),
        kernels=[
            dict(
                name=kernel, K=_array(K if K.ndim == 4 else K.expand_dims(0)), settings=_settings(g)
            )
            for kernel, (K, g) in kernels.items()
        ],
    )


def _settings(geometry: ConvGeometry) -> Dict[str, Any]:
    return dict(
        strides=geometry.strides,
        padding=geometry.pads,
        dilation=geometry.dilation,
        groups=geometry.groups,
        mode=geometry.padding_mode,
    )


def _limits(limits: Limits) -> Dict[str, int]:
    return limits._asdict()


def _array(array: Any) -> Dict[str, Any]:
    """The numbers of an NDArray, exactly: whole ones without a point, text where JSON has none."""
    values = to_numpy(array).ravel().tolist()
    return dict(shape=array.shape, data=[_number(value) for value in values])


def _number(value: float) -> Any:
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return int(value) if value.is_integer() and str(value) != "-0.0" else value


def _part(name: str) -> str:
    data: Optional[bytes] = pkgutil.get_data(__package__, f"page/{name}")
    assert data is not None  # as it is for loaders that can't read data files
    return data.decode("utf-8")

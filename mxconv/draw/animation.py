"""Animations of a convolution, or of a transposed one, with every number and sum computed."""

import base64
from html import escape
from pathlib import Path
from typing import Any, Callable, Dict, Sequence

from mxnet import nd

from .. import _checks
from .._paths import writable, write
from ..geometry import ConvGeometry, Shape
from . import raster, steps, vector
from .figures import LIMITS
from .film import Film, lay_out
from .sums import Limits, Sums, check_limits, compute_sums, refuse_undrawn, to_numpy

MAX_FRAMES = 200
MAX_BYTES = 16_000_000
SECONDS = 0.05, 60.0  # the least and the most for a frame
ALT = "Animation of a convolution"  # for those who can't see it
FEWER = "an output_channel, larger strides or a smaller X"

WRITERS: Dict[str, Callable[[Film, float], bytes]] = {
    ".gif": raster.gif,
    ".mp4": raster.mp4,
    ".svg": vector.svg,
    ".html": vector.html,
    ".htm": vector.html,
}


class Animation:
    """The file of an animation, which a notebook shows and `open` takes.

    Attributes
    ----------
    path : pathlib.Path
        Absolute, so that the file is found from any working directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._given = path

    def __repr__(self) -> str:
        """Return the path as it was given: stored in a notebook, it is the same on any machine."""
        return f"Animation(path={self._given!r})"

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the animation, embedded, so that the notebook keeps it."""
        data, suffix = self.path.read_bytes(), self.path.suffix.lower()
        if suffix in (".html", ".htm"):
            page = escape(data.decode("utf-8"))
            style = "width: 100%; height: 600px; border: 0"
            frame = f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="{style}"'
            return f'{frame} title="{ALT}"></iframe>'
        kinds = {".gif": "image/gif", ".svg": "image/svg+xml", ".mp4": "video/mp4"}
        source = f"data:{kinds[suffix]};base64,{base64.b64encode(data).decode('ascii')}"
        if suffix == ".mp4":
            return f'<video src="{source}" controls loop muted aria-label="{ALT}"></video>'
        return f'<img src="{source}" alt="{ALT}">'


@refuse_undrawn
def animate(
    X: Any,
    K: Any,
    path: Any,
    strides: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    padding_mode: Any = "zeros",
    transposed: Any = False,
    output_channel: Any = None,
    seconds: Any = 1.0,
) -> Animation:
    """Write an animation of a convolution with its numbers, element by element.

    Each frame lights up the elements of X and K that an element of Y is computed from, and has its
    sum below. If transposed, each frame lights up an element of X and adds its products with K to
    the elements of Y below the kernel. After the last frame, the animation pauses and repeats.

    Parameters
    ----------
    X : NDArray of shape (c_i, h, w)
        If transposed, of shape (c_o, o_h, o_w): the input of a transposed convolution has the shape
        of a convolution's output.
    K : NDArray of shape (c_i, k_h, k_w) or (c_o, c_i / groups, k_h, k_w)
        The kernel of the convolution, whether it is transposed or not.
    path : str or Path
        The file to write. It is replaced atomically. Its suffix chooses the kind:

        - '.gif', for slides; it needs the extra ``mxconv[plot]``;
        - '.mp4', also for slides, with room for a player's controls below the sum; it needs
          ``mxconv[plot]`` and ffmpeg, which is on the PATH or comes with ``mxconv[video]``;
        - '.svg', for web pages, inline or in an ``<img>``: it has no script. Readers who prefer
          reduced motion see the last frame;
        - '.html', a page with buttons, a slider and keys to step through the frames.
    strides, padding, dilation, groups, padding_mode
        As in `MultiChannelConv2D`. Cells of the padding are dashed.
    transposed : bool
        Whether to animate the transposed convolution: Y, of shape (c_i, h, w), is the gradient to
        the input of the convolution if X is the gradient to its output. Here (h, w) is the smallest
        size of which the convolution makes (o_h, o_w). The elements that the padding cuts off are
        dashed.
    output_channel : int, optional
        The only channel of the convolution's output to animate, counted from 0. Otherwise all
        are animated in turn.
    seconds : float
        The time of a frame, from 0.05 to 60, to a hundredth; the last takes twice as long.

    Returns
    -------
    Animation
        It is shown at the end of a notebook's cell, and ``os.fspath`` returns its path.

    Raises
    ------
    ValueError
        If the ranks or channels are wrong; if there are more than 10 rows or columns with padding,
        4 input or output channels, 50 products in a sum, or 200 frames; if the file would have more
        than 16 MB, or a GIF more than 400 million pixels in all its frames; if the output channel
        doesn't exist or `seconds` is out of range; if a transposed convolution has a padding mode
        other than 'zeros'; or if the path has another suffix or isn't in an existing directory.
    TypeError
        If an argument has the wrong type, or isn't drawn, such as a bias.
    ImportError
        If an extra, or ffmpeg, is missing.
    RuntimeError
        If ffmpeg fails.

    See Also
    --------
    page : All sums on one interactive page.
    multi_in : One of the frames, as a figure.

    Examples
    --------
    >>> X, K = nd.arange(18).reshape((2, 3, 3)), nd.arange(8).reshape((2, 2, 2))
    >>> animate(X, K, "padded.svg", padding=1).path.name
    'padded.svg'
    """
    path = writable(path, tuple(WRITERS))
    transposed = _checks.boolean("transposed", transposed)
    seconds = _check_seconds(seconds)
    _checks.ndarray("X", X)
    settings = dict(
        strides=strides,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=padding_mode,
    )
    sums = (_transposed_sums if transposed else compute_sums)(X, K, limits=LIMITS, **settings)
    channels = _check_frames(sums, output_channel)
    if transposed:
        story = steps.transposed(sums, to_numpy(X), channels)
    else:
        story = steps.convolution(sums, channels)
    title = _title(X.shape, K.shape, sums, transposed, settings)
    data = WRITERS[path.suffix.lower()](lay_out(title, sums, story, channels, transposed), seconds)
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"the file would have {len(data) / 1e6:.1f} MB, expected at most {MAX_BYTES / 1e6:g}: "
            f"choose {FEWER}, or another kind of file, received path={str(path)!r}"
        )
    write(path, data)
    return Animation(path)


def _transposed_sums(X: Any, K: Any, limits: Limits, **settings: Any) -> Sums:
    """Compute the `Sums` of the convolution that makes X's shape of Y's; Y is zero."""
    if settings["padding_mode"] != "zeros":
        raise ValueError(
            "expected padding_mode='zeros' for a transposed convolution, received "
            f"padding_mode={settings['padding_mode']!r}"
        )
    received = f"received X.shape={X.shape}, K.shape={_checks.ndarray('K', K).shape}"
    if X.ndim != 3 or K.ndim not in (3, 4) or 0 in X.shape + K.shape:
        raise ValueError(
            "expected X of shape (c_o, o_h, o_w) and K of shape (c_i, k_h, k_w) or "
            "(c_o, c_i / groups, k_h, k_w) for a transposed convolution, neither empty, "
            f"{received}"
        )
    c_o, per_group, *kernel_size = ((1,) + K.shape)[-4:]
    if len(X) != c_o:
        raise ValueError(
            f"X has {len(X)} channels and K makes {c_o}; expected the same number for a transposed "
            f"convolution, whose input has the output channels of K, {received}"
        )
    groups = _checks.integer("groups", settings["groups"], 1)
    c_i = per_group * groups
    geometry = ConvGeometry(c_o, tuple(kernel_size), in_channels=c_i, **settings)
    axes = zip(X.shape[1:], kernel_size, geometry.strides, geometry.dilation, geometry.pads)
    size = [(o - 1) * s + d * (k - 1) + 1 - sum(pads) for o, k, s, d, pads in axes]
    if min(size) < 1:
        raise ValueError(f"padding={settings['padding']} cuts off all that X makes, {received}")
    try:
        check_limits((c_i, *size), geometry, limits)  # before there is an array of this size
        return compute_sums(nd.zeros((c_i, *size)), K, limits=limits, **settings)
    except ValueError as error:  # it is too large; what is X to `compute_sums` is Y here
        raise ValueError(str(error).replace("X.shape", "Y.shape")) from None


def _check_seconds(seconds: Any) -> float:
    least, most = SECONDS
    if not least <= _checks.positive("seconds", seconds) <= most:
        raise ValueError(
            f"seconds is out of range: expected {least:g} to {most:g}, received seconds={seconds!r}"
        )
    return float(seconds)


def _check_frames(sums: Sums, output_channel: Any) -> Sequence[int]:
    """Return the output channels to animate, of which there mustn't be too many elements."""
    c_o, o_h, o_w = sums.output.shape
    channels: Sequence[int] = range(c_o)
    if output_channel is not None:
        channels = [sums.output_channel(output_channel)]
    frames = len(channels) * o_h * o_w
    if frames > MAX_FRAMES:
        raise ValueError(
            f"an animation has at most {MAX_FRAMES} frames, and {len(channels)} output channels of "
            f"{o_h}x{o_w} elements need {frames}: choose {FEWER}"
        )
    return channels


def _title(
    X_shape: Shape, K_shape: Shape, sums: Sums, transposed: bool, settings: Dict[str, Any]
) -> str:
    """The shapes, and the settings other than the usual ones."""
    if transposed:
        inside = ~sums.border
        Y_shape: Shape = (len(sums.padded), inside.any(axis=1).sum(), inside.any(axis=0).sum())
    else:
        Y_shape = sums.output.shape if sums.stacked else sums.output.shape[1:]
    signs = ("×", "→") if transposed else ("∗", "=")
    shapes = f"X {X_shape} {signs[0]} K {K_shape} {signs[1]} Y {tuple(map(int, Y_shape))}"
    usual = dict(strides=1, padding=0, dilation=1, groups=1, padding_mode="zeros")
    changed = [f"{name} {settings[name]}" for name in usual if settings[name] != usual[name]]
    dashed = "dashed cells are cut off" if transposed else "dashed cells are padding"
    kind = "Transposed convolution: " * transposed
    return "; ".join([kind + shapes, *changed] + [dashed] * bool(sums.border.any()))

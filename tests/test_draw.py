"""The figures, read back from their SVG files and laid out anew, compared with the oracle."""

import base64
import io
import json
import os
import pickle
import re
import runpy
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import mxconv
import oracle
from helpers import (
    NUMPY_MODE,
    PADDINGS,
    K,
    X,
    evaluated,
    integers,
    labels,
    luminance,
    slow_but,
    value,
)
from mxconv import ConvGeometry, draw
from mxconv.draw.figures import LIMITS, SHADES, SHARED
from mxconv.draw.paint import INK, PALE, QUIET_INK
from mxconv.draw.sums import compute_sums, format_number

import matplotlib
import nbformat
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from mxnet import nd

ROOT = Path(__file__).resolve().parents[1]
SVG = "{http://www.w3.org/2000/svg}"
CASES = [  # shapes of X and K, strides, padding, dilation, output channel, element
    ((2, 3, 3), (2, 2, 2), (1, 1), (0, 0), (1, 1), 0, (1, 1)),
    ((1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 0, (0, 0)),
    ((1, 6, 4), (3, 1, 3, 2), (1, 1), (0, 0), (1, 1), 2, (3, 0)),
    ((3, 5, 5), (2, 3, 3, 3), (2, 2), (1, 1), (1, 1), 1, (0, 2)),
    ((2, 4, 6), (4, 2, 2, 3), (2, 1), (0, 2), (1, 1), 3, (1, 7)),
    ((2, 2, 3), (1, 2, 3, 1), (1, 2), (1, 0), (1, 1), 0, (1, 1)),
    ((4, 7, 7), (2, 4, 2, 2), (1, 2), (1, 1), (3, 2), 0, (2, 3)),
    ((3, 10, 8), (3, 1, 1), (1, 1), (0, 1), (1, 1), 0, (9, 0)),
]


class Figure:
    """An SVG: all its texts, the shaded ones by name, the sums, and the number of dashed cells."""

    def __init__(self, path):
        root = ElementTree.parse(str(path)).getroot()
        groups = {group.get("id"): group for group in root.iter(SVG + "g")}
        named = {
            name: "".join(text.text for text in group.iter(SVG + "text"))
            for name, group in groups.items()
            if name and "." in name
        }
        self.texts = [text.text for text in root.iter(SVG + "text")]
        self.sums = [named.pop(name) for name in sorted(named) if name.startswith("sum")]
        self.named = named
        self.dashed = sum("dasharray" in path.get("style", "") for path in root.iter(SVG + "path"))

    def shaded(self, plane):
        """The places [[row, column], ...] of a plane's shaded numbers, and the numbers."""
        names = [name for name in self.named if re.match(re.escape(plane) + r"\.\d+\.\d+$", name)]
        places = [[int(part) for part in name.split(".")[-2:]] for name in names]
        return places, [value(self.named[name]) for name in names]


GROUPED = [  # shapes of X and K, groups
    ((4, 5, 4), (4, 1, 3, 2), 4),  # depthwise
    ((2, 5, 5), (4, 1, 2, 3), 2),  # depthwise, with two output channels for each input channel
    ((4, 4, 5), (2, 2, 2, 2), 2),
    ((3, 5, 4), (2, 3, 2, 2), 1),
    ((3, 5, 4), (3, 2, 2), 1),
]


@pytest.mark.parametrize("x_shape, k_shape, groups", GROUPED, ids=str)
@pytest.mark.parametrize("strides, dilation", [((1, 1), (1, 1)), ((2, 1), (1, 2))], ids=str)
@pytest.mark.parametrize("padding_mode, padding", PADDINGS, ids=str)
def test_the_sums_are_the_oracles(
    x_shape, k_shape, groups, strides, dilation, padding_mode, padding
):
    strides = (1, 1) if padding == "same" else strides
    x, k = integers(x_shape, most=9), integers(k_shape, most=9)
    sums = compute_sums(x, k, strides, padding, dilation, LIMITS, groups, padding_mode)
    x, k = x.asnumpy(), k.asnumpy().reshape((-1,) + k_shape[-3:])
    around = ConvGeometry(1, k.shape[2:], strides, padding, dilation).pads
    padded = np.pad(x, [(0, 0), *around], mode=NUMPY_MODE[padding_mode])
    y = oracle.convolve(padded[None], k, None, strides, (0, 0), dilation, groups)[0]
    np.testing.assert_array_equal(sums.padded, padded)
    np.testing.assert_array_equal(sums.border, np.pad(x[0] * 0, around, constant_values=1) == 1)
    np.testing.assert_array_equal(sums.kernel, k)
    np.testing.assert_array_equal(sums.output, y)
    assert sums.groups == groups and sums.order == range(len(x))[::-1]
    per_group = len(x) // groups
    for o in range(len(k)):
        group = o // (len(k) // groups)
        channels = list(range(len(x)))[group * per_group : (group + 1) * per_group]
        assert list(sums.inputs_of(o)) == channels
        for i, c in enumerate(channels):
            alone = padded[None, c : c + 1], k[o : o + 1, i : i + 1]
            part = oracle.convolve(*alone, None, strides, (0, 0), dilation)[0, 0]
            np.testing.assert_array_equal(sums.parts[o, i], part)
        seen = oracle.windows(padded[None, channels], k.shape[2:], strides, (0, 0), dilation)[0]
        at = [padded[c].flat[sums.windows] for c in channels]
        np.testing.assert_array_equal(at, seen.reshape(per_group, y[0].size, -1))
        for position, total in enumerate(y[o].flat):
            assert evaluated(sums.spell_out(o, position)) == (total, total)
            factors = re.findall(r"(−?\d+)\)?×", sums.spell_out(o, position))
            assert list(map(value, factors)) == [x for plane in at[::-1] for x in plane[position]]


def test_the_names_of_kernels_are_indices_into_K():
    depthwise = compute_sums(X, nd.ones((4, 1, 2, 2)), 1, 0, 1, LIMITS, groups=2)
    assert depthwise.kernel_name(3, 0) == "K[3, 0]" and list(depthwise.inputs_of(3)) == [1]
    assert compute_sums(X, K, 1, 0, 1, LIMITS).kernel_name(0, 1) == "K[1]"


def test_replicate_is_another_name_for_edge():
    edge, replicate = (
        compute_sums(X, K, 1, 1, 1, LIMITS, padding_mode=mode) for mode in ("edge", "replicate")
    )
    np.testing.assert_array_equal(edge.padded, replicate.padded)


def test_the_chapters_first_figure(tmp_path):
    draw.multi_in(X, K, tmp_path / "figure.svg")
    figure = Figure(tmp_path / "figure.svg")
    assert figure.sums == ["(1×1+2×2+4×3+5×4)+(0×0+1×1+3×2+4×3) = 56"]
    corner = [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert figure.shaded("X.1") == (corner, [1, 2, 4, 5])
    assert figure.shaded("X.0") == (corner, [0, 1, 3, 4])
    assert figure.shaded("K.0.1") == (corner, [1, 2, 3, 4])
    assert figure.shaded("K.0.0") == (corner, [0, 1, 2, 3])
    assert figure.shaded("P.1") == ([[0, 0]], [37])
    assert figure.shaded("P.0") == ([[0, 0]], [19])
    assert figure.shaded("Y.0") == ([[0, 0]], [56])
    assert len(figure.named) == 4 * 4 + 3
    for text in ["X[0]", "X[1]", "K[0]", "K[1]", "X[1] ∗ K[1]", "Y", "72", "104", "120", "+"]:
        assert text in figure.texts
    assert figure.texts.count("∗") == 2 and figure.texts.count("=") == 3
    assert figure.dashed == 0


def test_the_chapters_second_figure(tmp_path):
    x, k = integers((3, 3, 3), most=9), integers((2, 3, 1, 1), most=9)
    draw.one_by_one(x, k, tmp_path / "figure.svg", element=(2, 1))
    figure = Figure(tmp_path / "figure.svg")
    y = oracle.convolve(x.asnumpy()[None], k.asnumpy())[0]
    for c in range(3):
        assert figure.shaded(f"X.{c}") == ([[2, 1]], [x[c, 2, 1].asscalar()])
    for o in range(2):
        assert figure.shaded(f"Y.{o}") == ([[2, 1]], [y[o, 2, 1]])
        for c in range(3):
            assert figure.shaded(f"K.{o}.{c}") == ([[0, 0]], [k[o, c, 0, 0].asscalar()])
    assert [text.split(": ")[0] for text in figure.sums] == ["Y[1]", "Y[0]"]
    for o, text in zip((1, 0), figure.sums):
        assert evaluated(text.split(": ")[1]) == (y[o, 2, 1], y[o, 2, 1])
    assert len(figure.named) == 3 + 2 * 3 + 2


@pytest.mark.parametrize(
    "case",
    slow_but(CASES, *CASES[:6]),
    ids=labels("X, K, strides, padding, dilation, channel, element", CASES),
)
def test_what_is_shaded_is_the_oracles(case, tmp_path):
    x_shape, k_shape, strides, padding, dilation, o, (i, j) = case
    x, k = integers(x_shape, most=9), integers(k_shape, most=9)
    draw.multi_in(x, k, tmp_path / "figure.svg", o, (i, j), strides, padding, dilation)
    figure = Figure(tmp_path / "figure.svg")
    x, k = x.asnumpy(), k.asnumpy().reshape((-1,) + k_shape[-3:])
    seen = oracle.windows(x[None], k.shape[2:], strides, padding, dilation)[0, :, i, j]
    rows = i * strides[0] + dilation[0] * np.arange(k.shape[2])
    columns = j * strides[1] + dilation[1] * np.arange(k.shape[3])
    parts = [(seen[c] * k[o, c]).sum() for c in range(len(x))]
    for c in range(len(x)):
        places, values = figure.shaded(f"X.{c}")
        assert places == [[row, column] for row in rows for column in columns]
        assert values == list(seen[c].flat)
        assert figure.shaded(f"K.{o}.{c}")[1] == list(k[o, c].flat)
        if len(x) > 1:
            assert figure.shaded(f"P.{c}") == ([[i, j]], [parts[c]])
    y = oracle.convolve(x[None], k, None, strides, padding, dilation)[0]
    assert figure.shaded(f"Y.{o}") == ([[i, j]], [y[o, i, j]])
    assert evaluated(*figure.sums) == (y[o, i, j], y[o, i, j])
    h, w = (size + 2 * p for size, p in zip(x.shape[1:], padding))
    assert figure.dashed == len(x) * (h * w - x[0].size)
    shown = [value(text) for text in figure.texts if re.fullmatch("−?[0-9]+", text)]
    planes = [np.pad(x, [(0, 0)] + [(p, p) for p in padding]), k, y]
    if len(x) > 1:
        planes += [
            oracle.convolve(
                x[None, c : c + 1], k[o : o + 1, c : c + 1], None, strides, padding, dilation
            )
            for c in range(len(x))
        ]
    assert sorted(shown) == sorted(v for plane in planes for v in plane.flat)


@pytest.mark.parametrize("x_shape, k_shape, groups", GROUPED, ids=str)
@pytest.mark.parametrize("padding_mode", slow_but(NUMPY_MODE, "reflect"))
def test_only_the_channels_of_the_group_are_in_the_sum(
    x_shape, k_shape, groups, padding_mode, tmp_path
):
    x, k = integers(x_shape, most=9), integers(k_shape, most=9)
    path, o = tmp_path / "figure.svg", 0 if k.ndim == 3 else 1
    draw.multi_in(
        x, k, path, o, (2, 1), 1, ((1, 0), (2, 1)), 1, groups=groups, padding_mode=padding_mode
    )
    figure = Figure(path)
    k = k.asnumpy().reshape((-1,) + k_shape[-3:])
    around = [(0, 0), (1, 0), (2, 1)]
    padded = np.pad(x.asnumpy(), around, mode=NUMPY_MODE[padding_mode])
    channels = np.split(np.arange(len(x)), groups)[o // (len(k) // groups)]
    window = (slice(2, 2 + k.shape[2]), slice(1, 1 + k.shape[3]))
    parts = {c: (padded[c][window] * k[o, i]).sum() for i, c in enumerate(channels)}
    for c in range(len(x)):
        assert figure.shaded(f"X.{c}")[1] == (list(padded[c][window].flat) if c in parts else [])
        assert figure.shaded(f"P.{c}")[1] == ([parts[c]] if c in parts and len(parts) > 1 else [])
    for other in range(len(k)):
        for i in range(len(channels)):
            expected = list(k[o, i].flat) if other == o else []
            assert figure.shaded(f"K.{other}.{i}")[1] == expected
    assert figure.shaded(f"Y.{o}") == ([[2, 1]], [sum(parts.values())])
    assert evaluated(*figure.sums) == (sum(parts.values()),) * 2
    assert figure.dashed == padded.size - x.size
    assert figure.texts.count("∗") == len(parts)


def test_other_groups_are_pale_and_have_no_kernel_beside_the_shown_ones_inputs():
    (axes,) = draw.multi_in(integers((4, 3, 3)), nd.ones((4, 2, 2, 2)), groups=2).axes
    titles = {text.get_text(): text for text in axes.texts if text.get_text()[1:2] == "["}
    pale = {name for name, text in titles.items() if text.get_color() == QUIET_INK}
    others = [f"K[{o}, {i}]" for o in (2, 3) for i in (0, 1)]
    assert pale == {"X[2]", "X[3]", "Y[2]", "Y[3]", *others}
    middle = {name: text.get_position()[1] for name, text in titles.items()}  # of its top
    for o in range(4):
        for i in range(2):
            c = 2 * (o // 2) + i
            assert middle[f"K[{o}, {i}]"] + 2 / 2 == pytest.approx(middle[f"X[{c}]"] + 3 / 2)
    numbers = [text.get_color() for text in axes.texts if text.get_text() not in titles]
    assert numbers.count(QUIET_INK) == 2 * 9 + 4 * 4 + 2 * 4


@pytest.mark.parametrize(
    "shape, groups, colors",
    [
        ((3, 1, 1, 1), 3, SHADES[:3]),
        ((4, 1, 1, 1), 2, [SHARED, SHARED]),
        ((2, 2, 1, 1), 2, [SHADES[0], SHADES[0], SHADES[1], SHADES[1]]),
        ((1, 2, 1, 1), 1, [SHADES[0], SHADES[0]]),
        ((2, 2, 1, 1), 1, [SHARED, SHARED]),
    ],
)
def test_a_pixel_has_the_color_of_the_output_that_uses_it(shape, groups, colors, tmp_path):
    x, k = integers((shape[1] * groups, 3, 3), most=9), integers(shape, most=9)
    (axes,) = draw.one_by_one(x, k, tmp_path / "figure.svg", (1, 2), groups).axes
    cells = {(cell.get_x() + 0.5, cell.get_y() + 0.5): cell for cell in axes.patches}
    lit = {text.get_gid(): text.get_position() for text in axes.texts if text.get_gid()}
    assert len(colors) == len(x)
    for c, color in enumerate(colors):
        assert cells[lit[f"X.{c}.1.2"]].get_facecolor()[:3] == to_rgb(color)
    y = oracle.convolve(x.asnumpy()[None], k.asnumpy(), groups=groups)[0, ::-1, 1, 2]
    sums = Figure(tmp_path / "figure.svg").sums
    assert [evaluated(text.split(": ")[-1])[0] for text in sums] == list(y)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "uint8"])
def test_every_dtype_can_be_drawn(dtype, tmp_path):
    draw.multi_in(X.astype(dtype), K.astype(dtype), tmp_path / "figure.svg")
    assert Figure(tmp_path / "figure.svg").shaded("Y.0") == ([[0, 0]], [56])


def floats(shape):
    return nd.random.normal(shape=shape)


FIGURES = {
    "the chapter's": lambda path: draw.multi_in(X, K, path),
    "tiny": lambda path: draw.multi_in(nd.ones((1, 1, 1)), nd.ones((1, 1, 1)), path),
    "outputs as high as inputs": lambda path: draw.multi_in(
        floats((3, 2, 2)), floats((2, 3, 1, 1)), path
    ),
    "a long sum": lambda path: draw.multi_in(floats((2, 5, 5)), floats((1, 2, 5, 5)), path),
    "floats": lambda path: draw.multi_in(
        floats((3, 5, 4)), floats((3, 3, 3, 2)), path, 2, (1, 0), 2, 1
    ),
    "large": lambda path: draw.multi_in(
        1e5 * floats((4, 10, 10)), floats((2, 4, 2, 3)), path, 0, (8, 7)
    ),
    "1x1": lambda path: draw.one_by_one(floats((3, 3, 3)), floats((4, 3, 1, 1)), path),
    "groups": lambda path: draw.multi_in(
        floats((4, 3, 2)), floats((4, 2, 2, 2)), path, 3, padding=1, groups=2, padding_mode="edge"
    ),
    "depthwise": lambda path: draw.multi_in(
        floats((4, 3, 3)), floats((4, 1, 3, 3)), path, groups=4
    ),
    "more outputs than inputs": lambda path: draw.multi_in(
        floats((2, 3, 3)), floats((4, 1, 2, 2)), path, groups=2
    ),
    "1x1 with groups": lambda path: draw.one_by_one(
        floats((4, 2, 2)), floats((2, 2, 1, 1)), path, groups=2
    ),
}


FAST = ("the chapter's", "tiny", "floats", "1x1", "groups")


@pytest.mark.parametrize("name", slow_but(FIGURES, *FAST))
def test_no_text_is_cut_off_crowded_or_pale(name):
    figure = FIGURES[name](None)
    (axes,) = figure.axes
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [text.get_text() for text in axes.texts]
    boxes = np.array([text.get_window_extent(canvas.get_renderer()).extents for text in axes.texts])
    cells = np.array([cell.get_window_extent().extents for cell in axes.patches])
    cut_off = (boxes[:, :2] < 0) | (boxes[:, 2:] > figure.bbox.size)
    assert not cut_off.any(), np.array(texts)[cut_off.any(axis=1)]
    crowded = np.triu(overlap(boxes, boxes), 1)
    assert not crowded.any(), [(texts[i], texts[j]) for i, j in np.argwhere(crowded)]
    assert overlap(boxes, cells).sum(axis=1).max() == 1  # a number stays in its cell
    backs = {text.get_bbox_patch().get_facecolor() for text in axes.texts if text.get_bbox_patch()}
    backs |= {cell.get_facecolor() for cell in axes.patches}
    for text in axes.texts:
        assert text.get_color() == INK or (text.get_color() == QUIET_INK and not text.get_gid())
    for back in backs:
        assert contrast(back, INK) > 7
    for back in ("white", PALE):  # the only ones of what is quiet, as it has no color
        assert contrast(to_rgb(back), QUIET_INK) > 4.5


def contrast(back, ink):
    """The ratio that WCAG 2 wants above 4.5, or above 7 for its level AAA."""
    return (luminance(back) + 0.05) / (luminance(to_rgb(ink)) + 0.05)


def overlap(boxes, others):
    """Which of the boxes (x0, y0, x1, y1) overlap which of the others, as a matrix."""
    a, b = boxes[:, None], others[None]
    return ((a[..., :2] < b[..., 2:]) & (b[..., :2] < a[..., 2:])).all(axis=-1)


def test_png_has_the_figures_size(tmp_path):
    figure = draw.multi_in(X, K, str(tmp_path / "figure.PNG"))
    data = (tmp_path / "figure.PNG").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    size = struct.unpack(">II", data[16:24])
    assert size == tuple(int(inches * 150) for inches in figure.get_size_inches())
    assert min(size) > 500
    pixels = (255 * imread(io.BytesIO(data))[..., :3]).round().astype(int)
    for color in ("#ffffff", SHADES[0]):
        assert (pixels == np.multiply(255, to_rgb(color)).round()).all(axis=-1).mean() > 0.05


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_arrays_give_the_same_file(suffix, tmp_path):
    for name in ("a", "b"):
        draw.one_by_one(X, nd.ones((2, 2, 1, 1)), tmp_path / (name + suffix))
    data = (tmp_path / ("a" + suffix)).read_bytes()
    assert data == (tmp_path / ("b" + suffix)).read_bytes()
    assert b"date" not in data.lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a" + suffix, "b" + suffix]


def test_the_users_style_stays_and_does_not_show(tmp_path):
    draw.multi_in(X, K, tmp_path / "a.svg")
    with matplotlib.rc_context({"patch.linewidth": 9, "figure.facecolor": "black"}):
        draw.multi_in(X, K, tmp_path / "b.svg")
        assert matplotlib.rcParams["patch.linewidth"] == 9
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_threads_do_not_mix_their_styles(tmp_path):
    draw.multi_in(X, K, tmp_path / "alone.svg")

    def draw_often(n):
        for _ in range(3):
            draw.multi_in(X, K, tmp_path / f"{n}.svg")

    with matplotlib.rc_context({"patch.linewidth": 9}), ThreadPoolExecutor(4) as pool:
        list(pool.map(draw_often, range(4)))
        assert matplotlib.rcParams["patch.linewidth"] == 9
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize(
    "given, text",
    [
        (3, "3"),
        (-3, "−3"),
        (0, "0"),
        (-0.0, "0"),
        (999999, "999999"),
        (1e6, "1e6"),
        (-2.5e12, "−2.5e12"),
        (0.5, "0.5"),
        (1 / 3, "0.333"),
        (-1234.5, "−1234"),
        (1e-5, "1e−5"),
        (-0.000123456, "−0.000123"),
        (np.nan, "nan"),
        (-np.inf, "−inf"),
    ],
)
def test_numbers_are_short(given, text):
    assert format_number(np.float64(given)) == text


@pytest.mark.parametrize(
    "x, k, text",
    [
        ([[[1, -2]]], [[[-3, 4]]], "1×(−3)+(−2)×4 = −11"),
        ([[[0.5]], [[-1]]], [[[2]], [[0.25]]], "(−1)×0.25+0.5×2 = 0.75"),
        ([[[0.1]]], [[[3]]], "0.1×3 = 0.3"),
        ([[[1.23456]]], [[[2]]], "1.23×2 ≈ 2.47"),
        ([[[1e30, 1]]], [[[1, 1]]], "1e30×1+1×1 = 1e30"),
        ([[[np.inf, 2]]], [[[1, 3]]], "inf×1+2×3 = inf"),
        ([[[np.nan, 2]]], [[[1, 3]]], "nan×1+2×3 = nan"),
    ],
)
def test_sums_are_spelled_out(x, k, text, tmp_path):
    draw.multi_in(nd.array(x), nd.array(k), tmp_path / "figure.svg")
    assert Figure(tmp_path / "figure.svg").sums == [text]


BAD = [  # function, arguments, the error, what its message has to say
    ("multi_in", (X.asnumpy(), K), TypeError, ["X", "numpy.ndarray"]),
    ("multi_in", (X, K.asnumpy().tolist()), TypeError, ["K", "list"]),
    ("multi_in", (X[0], K), ValueError, ["(3, 3)", "(c_i, h, w)"]),
    ("multi_in", (X, K[0]), ValueError, ["(2, 2)", "(c_o, c_i, k_h, k_w)"]),
    ("multi_in", (X[:1], K), ValueError, ["1 channels", "2", "(1, 3, 3)"]),
    ("multi_in", (X, nd.ones((2, 4, 1))), ValueError, ["larger", "(4, 1)"]),
    ("multi_in", (nd.ones((1, 11, 3)), nd.ones((1, 1, 1))), ValueError, ["10", "(1, 11, 3)"]),
    ("multi_in", (nd.ones((5, 3, 3)), nd.ones((5, 1, 1))), ValueError, ["4 input", "(5, 3, 3)"]),
    ("multi_in", (X, nd.ones((5, 2, 1, 1))), ValueError, ["4 input", "(5, 2, 1, 1)"]),
    ("multi_in", (nd.ones((1, 8, 8)), nd.ones((1, 8, 7))), ValueError, ["50 products"]),
    ("multi_in", (X, K, None, 1), ValueError, ["output_channel=1"]),
    ("multi_in", (X, K, None, 0.0), TypeError, ["output_channel=0.0"]),
    ("multi_in", (X, K, None, 0, (2, 0)), ValueError, ["element=(2, 0)", "2x2"]),
    ("multi_in", (X, K, None, 0, (0, -1)), ValueError, ["element=-1"]),
    ("multi_in", (X, K, None, 0, (0, 0), 0), ValueError, ["strides=0"]),
    ("multi_in", (X, K, None, 0, (0, 0), 1, 4), ValueError, ["10 rows", "padding=(4, 4)"]),
    ("multi_in", (X, K, "figure.jpg"), ValueError, [".svg or .png", "figure.jpg"]),
    ("multi_in", (X, K, "no/such/figure.svg"), ValueError, ["no directory", "no/such"]),
    ("multi_in", (X, K, 3), TypeError, ["path=3"]),
    ("multi_in", (X, K, nd.ones(1)), TypeError, ["path", "NDArray of shape (1,)"]),
    ("multi_in", (X.expand_dims(0), K), ValueError, ["batch", "X[0]", "(1, 2, 3, 3)"]),
    ("multi_in", (X.transpose((1, 2, 0)), K), ValueError, ["(X.transpose((2, 0, 1)) would fit)"]),
    ("multi_in", (X, nd.ones((4, 1, 2, 2))), ValueError, ["(groups=2 would fit)"]),
    ("multi_in", (X, nd.ones((3, 1, 2, 2))), ValueError, ["K has 1; expected the same number, "]),
    ("one_by_one", (X, K), ValueError, ["1x1", "(2, 2, 2)"]),
    ("one_by_one", (X, nd.ones((1, 1))), ValueError, ["(1, 1)", "(c_i, k_h, k_w)"]),
    ("one_by_one", (X, nd.ones((2, 1, 1)), None, (0, 3)), ValueError, ["element=(0, 3)", "3x3"]),
    ("one_by_one", (X, nd.ones((2, 1, 1)), "figure"), ValueError, [".svg or .png"]),
    ("one_by_one", (X, nd.ones((2, 1, 1, 1))), ValueError, ["(groups=2 would fit)"]),
]


BAD_OPTIONS = [  # of multi_in for X and K, unless there are others
    (dict(groups=2), ValueError, ["(c_o, c_i / groups, k_h, k_w)", "groups=2"]),
    (dict(groups=0), ValueError, ["groups=0"]),
    (dict(groups=2.0), TypeError, ["groups=2.0"]),
    (dict(K=nd.ones((3, 1, 2, 2)), groups=2), ValueError, ["channels=3, groups=2"]),
    (
        dict(X=nd.ones((4, 3, 3)), K=nd.ones((4, 1, 2, 2)), groups=2),
        ValueError,
        ["1 in each of 2 groups", "(groups=4 would fit)", "groups=2"],
    ),
    (dict(padding_mode="mirror"), ValueError, ["padding_mode='mirror'"]),
    (dict(padding=3, padding_mode="reflect"), ValueError, ["'reflect'", "(4, 4)", "(1, 2, 3, 3)"]),
    (dict(padding="same", strides=2), ValueError, ["'same'", "strides=(2, 2)"]),
]


@pytest.mark.parametrize("options, error, says", BAD_OPTIONS)
def test_bad_options_are_refused_at_the_call(options, error, says):
    with pytest.raises(error) as caught:
        draw.multi_in(**{**dict(X=X, K=K), **options})
    for words in says:
        assert words in str(caught.value)


@pytest.mark.parametrize("function, arguments, error, says", BAD)
def test_bad_input_is_refused_at_the_call(function, arguments, error, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        getattr(draw, function)(*arguments)
    for words in says:
        assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, value", [("bias", nd.ones(1)), ("layout", "NHWC"), ("transposed", True)]
)
def test_what_isnt_drawn_is_named(name, value):
    for function in (draw.multi_in, draw.one_by_one):
        with pytest.raises(TypeError, match=f"{function.__name__} takes no {name}: it doesn't "):
            function(X, nd.ones((2, 1, 1)), **{name: value})
        with pytest.raises(TypeError, match="unexpected keyword argument 'stride'"):
            function(X, nd.ones((2, 1, 1)), stride=1)


NOTEBOOK = """
import sys, nbformat
from nbclient import NotebookClient
cells = [nbformat.v4.new_code_cell(source) for source in sys.argv[2:]]
notebook = nbformat.v4.new_notebook(cells=cells)
NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
nbformat.write(notebook, sys.argv[1])
"""
ARRAYS = """
import sys; sys.path[:0] = {path!r}
from helpers import K, X
from mxconv import draw
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "%matplotlib inline"])
def test_a_figure_displays_itself_in_a_notebook(before, tmp_path):
    kernel = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(
        json.dumps(dict(kernel, display_name="Python 3", language="python"))
    )
    places = dict.fromkeys(("JUPYTER_PATH", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"), str(tmp_path))
    path = [str(ROOT / "tests"), str(Path(mxconv.__file__).parents[1])]
    cells = [
        ARRAYS.format(path=path) + before,
        "draw.multi_in(X, K)",
        f"draw.multi_in(X, K, {str(tmp_path / 'figure.png')!r})",
        "figure = draw.multi_in(X, K)",
    ]
    # In a process of its own, as Jupyter's libraries leave sockets open, which is a warning here.
    command = [sys.executable, "-c", NOTEBOOK, str(tmp_path / "run.ipynb"), *cells]
    done = subprocess.run(
        command, timeout=300, env=dict(os.environ, **places), stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr
    first, *shown, last = nbformat.read(str(tmp_path / "run.ipynb"), as_version=4)["cells"]
    assert first["outputs"] == last["outputs"] == []
    for cell in shown:
        (output,) = cell["outputs"]
        assert set(output["data"]) == {"image/png", "text/plain"}
        png = base64.b64decode(output["data"]["image/png"])
        if before:  # IPython has its own way to show any figure then
            assert png.startswith(b"\x89PNG")
            continue
        assert png == (tmp_path / "figure.png").read_bytes()
        width, height = draw.multi_in(X, K).get_size_inches()
        size = {"width": round(96 * width), "height": round(96 * height)}
        assert output["metadata"]["image/png"] == size


def test_a_figure_can_be_pickled_and_shown_in_any_style():
    figure = draw.multi_in(X, K)
    expected = figure._repr_png_()
    with matplotlib.rc_context({"savefig.dpi": 20, "font.sans-serif": ["DejaVu Sans Mono"]}):
        assert figure._repr_png_() == expected
    assert pickle.loads(pickle.dumps(figure))._repr_png_() == expected


def test_without_matplotlib_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for figure in (lambda: draw.multi_in(X, K), lambda: draw.one_by_one(X, nd.ones((2, 1, 1)))):
        with pytest.raises(ImportError, match=re.escape("mxconv[plot]")):
            figure()
    draw.page(X, K, tmp_path / "page.html")


@pytest.mark.slow
def test_importing_needs_no_matplotlib():
    code = "import sys, mxconv.draw; print('matplotlib' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code]) == b"False\n"


def test_the_figures_in_docs_are_those_of_the_example(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    figures = runpy.run_path(str(ROOT / "examples" / "figures.py"))["FIGURES"]
    kept = {path.name for path in (ROOT / "docs" / "figures").iterdir()}
    for name, figure in figures.items():
        figure(tmp_path / f"{name}.svg")
        drawn = Figure(tmp_path / f"{name}.svg")
        assert vars(drawn) == vars(Figure(ROOT / "docs" / "figures" / f"{name}.svg"))
        assert {f"{name}.svg", f"{name}.png"} <= kept

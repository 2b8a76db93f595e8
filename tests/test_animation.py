"""Animations: what they show in each frame, compared with the oracle; and the files themselves."""

import io
import json
import os
import re
import runpy
import stat
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import chromium
import oracle
from helpers import K3, NUMPY_MODE, K, X, evaluated, integers, labels, slow_but, value
from mxconv import ConvGeometry, draw
from mxconv.draw import animation, raster
from mxconv.draw.figures import SHADES
from mxconv.draw.film import CELL, LINE, MARGIN

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd

SVG = "{http://www.w3.org/2000/svg}"


class Drawing:
    """What an SVG shows in each frame: sums, lit cells by plane, and numbers by plane."""

    def __init__(self, path):
        self.root = ElementTree.parse(str(path)).getroot()
        own = self.root.get("id") + "."
        for node in self.root.iter():  # without the drawing's own name before all others
            for name in {"id", "href"} & set(node.keys()):
                node.set(name, node.get(name).replace(own, ""))
        self.frames = [node for node in self.root.iter(SVG + "g") if "frame." in node.get("id", "")]
        self.sums = ["".join(line.text for line in text) for text in self.nodes("text", "sum")]
        self.texts = [node.text for node in self.root.iter(SVG + "text")]
        self.padding = {rect.get("id") for group in self.nodes("g", "padding") for rect in group}

    def nodes(self, tag, name):
        return [node for node in self.root.iter(SVG + tag) if node.get("class") == name]

    def shown(self, n):
        """The nodes that are shown only at times, and are in frame n."""
        for node in self.root.iter():
            since, until = node.get("data-since"), node.get("data-until")
            if (since or until) and int(since) <= n < int(until or len(self.frames)):
                yield node

    def lit(self, n):
        """{plane: [[row, column], ...]} of the cells that are lit in frame n."""
        span = self.frames[n].get("data-since"), self.frames[n].get("data-until")
        last = n == len(self.frames) - 1
        assert span == (str(n) if n else None if last else "0", None if last else str(n + 1))
        lit = {}
        for use in self.frames[n].iter(SVG + "use"):
            plane, i, j = use.get("href")[1:].rsplit(".", 2)
            lit.setdefault(plane, []).append([int(i), int(j)])
        return lit

    def numbers(self, n):
        """{plane: array} of the numbers in frame n, with NaN where there is none."""
        timed = set(self.shown(n))
        numbers = {}
        for text in self.root.iter(SVG + "text"):
            if "data-cell" in text.attrib and (text in timed or "data-since" not in text.attrib):
                plane, i, j = text.get("data-cell").rsplit(".", 2)
                cells = numbers.setdefault(plane, {})
                assert (int(i), int(j)) not in cells  # one number in a cell
                cells[int(i), int(j)] = value(text.text)
        shapes = self.shapes()
        for plane, cells in numbers.items():
            array = np.full(shapes[plane], np.nan)
            for place, number in cells.items():
                array[place] = number
            numbers[plane] = array
        return numbers

    def shapes(self):
        """{plane: (rows, columns)}."""
        shapes = {}
        for rect in self.root.iter(SVG + "rect"):
            if rect.get("id"):
                plane, i, j = rect.get("id").rsplit(".", 2)
                shapes[plane] = np.maximum(shapes.get(plane, 0), (int(i) + 1, int(j) + 1))
        return {plane: tuple(shape) for plane, shape in shapes.items()}


def places(rows, columns):
    return [[row, column] for row in rows for column in columns]


def window(i, j, kernel, strides, dilation):
    """The places in a padded plane that belong to output element (i, j)."""
    return places(
        *(at * s + d * np.arange(k) for at, k, s, d in zip((i, j), kernel, strides, dilation))
    )


def test_the_chapters_animation(tmp_path):
    path = tmp_path / "chapter.svg"
    assert draw.animate(X, K, path).path == path
    drawing = Drawing(path)
    assert drawing.sums == [
        "(1×1+2×2+4×3+5×4)+(0×0+1×1+3×2+4×3) = 56",
        "(2×1+3×2+5×3+6×4)+(1×0+2×1+4×2+5×3) = 72",
        "(4×1+5×2+7×3+8×4)+(3×0+4×1+6×2+7×3) = 104",
        "(5×1+6×2+8×3+9×4)+(4×0+5×1+7×2+8×3) = 120",
    ]
    corner = places([0, 1], [1, 2])
    every = places([0, 1], [0, 1])
    seen = {"X.0": corner, "X.1": corner, "K.0.0": every, "K.0.1": every, "Y.0": [[0, 1]]}
    assert drawing.lit(1) == seen
    np.testing.assert_array_equal(drawing.numbers(1)["Y.0"], [[56, 72], [np.nan, np.nan]])
    np.testing.assert_array_equal(drawing.numbers(3)["Y.0"], [[56, 72], [104, 120]])
    for text in ("X[0]", "X[1]", "K[0]", "K[1]", "Y", "∗", "+", "="):
        assert text in drawing.texts
    assert drawing.padding == set()


CASES = [  # shapes of X and K, strides, padding, dilation, groups, padding mode, output channel
    ((2, 3, 3), (3, 2, 2, 2), (1, 1), (0, 0), (1, 1), 1, "zeros", None),
    ((1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1, "zeros", None),
    ((1, 6, 5), (1, 3, 3), (2, 1), (1, 1), (1, 1), 1, "zeros", None),
    ((2, 7, 6), (2, 2, 2, 3), (2, 1), (0, 1), (3, 2), 1, "zeros", 1),
    ((3, 4, 4), (3, 1, 3, 3), (1, 1), (1, 1), (1, 1), 3, "reflect", None),
    ((4, 4, 3), (4, 2, 2, 2), (2, 2), (1, 0), (1, 1), 2, "circular", None),
    ((4, 3, 3), (4, 2, 1, 2), (1, 1), (0, 0), (1, 1), 2, "zeros", 2),
]


@pytest.mark.parametrize(
    "case",
    slow_but(CASES, *CASES[:5]),
    ids=labels("X, K, strides, padding, dilation, groups, mode, channel", CASES),
)
def test_every_frame_is_the_oracles(case, tmp_path):
    x_shape, k_shape, strides, padding, dilation, groups, mode, channel = case
    x, k = integers(x_shape, most=9), integers(k_shape, most=9)
    settings = dict(strides=strides, padding=padding, dilation=dilation, groups=groups)
    drawing = Drawing(
        draw.animate(
            x, k, tmp_path / "a.svg", padding_mode=mode, output_channel=channel, **settings
        )
    )
    x, k = x.asnumpy(), k.asnumpy().reshape((-1,) + k_shape[-3:])
    around = [(p, p) for p in padding]
    padded = np.pad(x, [(0, 0), *around], mode=NUMPY_MODE[mode])
    y = oracle.convolve(padded[None], k, None, strides, (0, 0), dilation, groups)[0]
    channels = range(len(k)) if channel is None else [channel]
    done = {o: np.full(y.shape[1:], np.nan) for o in channels}
    n = 0
    for o in channels:
        group = o // (len(k) // groups)
        inputs = range(len(x))[group * k.shape[1] :][: k.shape[1]]
        for i, j in np.ndindex(*y.shape[1:]):
            done[o][i, j] = y[o, i, j]
            numbers = drawing.numbers(n)
            for other in channels:
                np.testing.assert_array_equal(
                    numbers.get(f"Y.{other}", np.full(y.shape[1:], np.nan)), done[other]
                )
                for c in range(k.shape[1]):
                    np.testing.assert_array_equal(numbers[f"K.{other}.{c}"], k[other, c])
            for c in range(len(x)):
                np.testing.assert_array_equal(numbers[f"X.{c}"], padded[c])
            lit = {f"Y.{o}": [[i, j]]}
            lit.update({f"K.{o}.{c}": places(*map(range, k.shape[2:])) for c in range(k.shape[1])})
            seen = window(i, j, k.shape[2:], strides, dilation)
            lit.update({f"X.{c}": seen for c in inputs})
            assert drawing.lit(n) == lit
            spelled = re.sub(r"^Y\[\d+\]: ", "", drawing.sums[n])
            assert evaluated(spelled) == (y[o, i, j], y[o, i, j])
            assert (spelled == drawing.sums[n]) == (len(k) == 1)
            n += 1
    assert n == len(drawing.frames) == len(drawing.sums)
    border = np.pad(np.zeros(x.shape[1:]), around, constant_values=1)
    dashed = {f"X.{c}.{i}.{j}" for c in range(len(x)) for i, j in np.argwhere(border)}
    assert drawing.padding == dashed


TRANSPOSED = [  # shapes of X and K, strides, padding, dilation, groups, output channel
    ((1, 2, 2), (1, 2, 2), (1, 1), (0, 0), (1, 1), 1, None),
    ((1, 3, 3), (2, 3, 3), (2, 2), (1, 1), (1, 1), 1, None),
    ((2, 2, 3), (2, 2, 2, 2), (2, 1), (0, 1), (1, 2), 1, None),
    ((4, 2, 1), (4, 1, 2, 2), (3, 3), (0, 0), (1, 1), 2, None),
    ((3, 2, 2), (3, 1, 3, 3), (1, 2), (1, 0), (1, 1), 3, 1),
]


@pytest.mark.parametrize(
    "case", TRANSPOSED, ids=labels("X, K, strides, padding, dilation, groups, channel", TRANSPOSED)
)
def test_every_frame_of_a_transposed_convolution_is_the_oracles(case, tmp_path):
    x_shape, k_shape, strides, padding, dilation, groups, channel = case
    x, k = integers(x_shape, most=9), integers(k_shape, most=9)
    settings = dict(strides=strides, padding=padding, dilation=dilation, groups=groups)
    drawing = Drawing(
        draw.animate(x, k, tmp_path / "a.svg", transposed=True, output_channel=channel, **settings)
    )
    k4 = k.reshape((-1,) + k_shape[-3:])
    x, k = x.asnumpy(), k4.asnumpy()
    size = [
        (o - 1) * s + d * (kernel - 1) + 1
        for o, kernel, s, d in zip(x.shape[1:], k.shape[2:], strides, dilation)
    ]
    per_group = k.shape[1]
    nothing = np.zeros((1, per_group * groups, *size))
    channels = range(len(x)) if channel is None else [channel]
    added, n = np.zeros_like(x), 0
    for o in channels:
        first = o // (len(x) // groups) * per_group
        for i, j in np.ndindex(*x.shape[1:]):
            before = oracle.gradients(nothing, k, added[None], strides, (0, 0), dilation, groups)[0]
            added[o, i, j] = x[o, i, j]
            y = oracle.gradients(nothing, k, added[None], strides, (0, 0), dilation, groups)[0][0]
            numbers = drawing.numbers(n)
            for c in range(len(y)):
                np.testing.assert_array_equal(numbers[f"Y.{c}"], y[c])
            for other in channels:
                np.testing.assert_array_equal(numbers[f"X.{other}"], x[other])
            stamp = window(i, j, k.shape[2:], strides, dilation)
            lit = {f"X.{o}": [[i, j]]}
            for c in range(per_group):
                lit[f"K.{o}.{c}"] = places(*map(range, k.shape[2:]))
                lit[f"Y.{first + c}"] = stamp
            assert drawing.lit(n) == lit
            sums = re.split(r"[;,] ", re.sub(r"Y\[\d+\]: ", "", drawing.sums[n]))
            at = [(c, a, b) for c in range(first, first + per_group)[::-1] for a, b in stamp]
            assert [evaluated(text) for text in sums] == [(y[place],) * 2 for place in at]
            starts = [value(re.match("−?[0-9]+", text)[0]) for text in sums]
            assert starts == [before[0][place] for place in at]
            n += 1
    assert n == len(drawing.frames)
    inside = tuple(slice(p, length - p) for p, length in zip(padding, size))
    made = np.array([numbers[f"Y.{c}"][inside] for c in range(len(y))])
    expected = nd.Deconvolution(
        nd.array(added[None]),
        k4.copy(),  # of a view, MXNet refuses it
        kernel=k.shape[2:],
        stride=strides,
        pad=padding,
        dilate=dilation,
        num_group=groups,
        num_filter=per_group * groups,
        no_bias=True,
    )
    np.testing.assert_array_equal(made, expected.asnumpy()[0])
    cut = np.ones(size)
    cut[inside] = 0
    assert drawing.padding == {f"Y.{c}.{a}.{b}" for c in range(len(y)) for a, b in np.argwhere(cut)}


def test_same_padding_and_uneven_padding_are_transposed(tmp_path):
    x, k = integers((1, 3, 4)), integers((1, 2, 2))
    for padding in ("same", ((0, 1), (0, 1))):
        drawing = Drawing(draw.animate(x, k, tmp_path / "a.svg", 1, padding, transposed=True))
        around = ConvGeometry(1, 2, padding=padding).pads
        assert drawing.shapes()["Y.0"] == (4, 5) and around == ((0, 1), (0, 1))
        assert drawing.padding == {f"Y.0.{i}.{j}" for i in range(4) for j in range(5)} - {
            f"Y.0.{i}.{j}" for i in range(3) for j in range(4)
        }


def test_rounded_sums_are_called_so(tmp_path):
    x, k = nd.array([[[0.1, 1.23456]]]), nd.array([[[2]]])
    drawing = Drawing(draw.animate(x, k, tmp_path / "a.svg"))
    assert drawing.sums == ["0.1×2 = 0.2", "1.23×2 ≈ 2.47"]
    drawing = Drawing(draw.animate(x, k, tmp_path / "a.svg", transposed=True))
    assert drawing.sums == ["0+0.1×2 = 0.2", "0+1.23×2 ≈ 2.47"]


def test_a_negative_and_a_missing_number_are_drawn(tmp_path):
    drawing = Drawing(
        draw.animate(nd.array([[[-2, np.nan]]]), -nd.ones((1, 1, 1)), tmp_path / "a.svg")
    )
    assert drawing.sums == ["(−2)×(−1) = 2", "nan×(−1) = nan"]


def test_numbers_that_become_infinite_or_nan_are_drawn(tmp_path):
    x, k = nd.array([[[np.inf, -np.inf]]]), nd.array([[[0, 1]]])
    assert Drawing(draw.animate(x, k, tmp_path / "a.svg")).sums == ["inf×0+(−inf)×1 = nan"]
    assert Drawing(draw.animate(x, k, tmp_path / "a.svg", transposed=True)).sums == [
        "0+inf×0 = nan, 0+inf×1 = inf",
        "inf+(−inf)×0 = nan, 0+(−inf)×1 = −inf",
    ]


def floats(*shape):
    return 10.0 ** np.random.randint(-5, 7) * nd.random.normal(shape=shape)


@pytest.mark.parametrize("transposed", [False, True])
def test_numbers_fit_their_cells_and_sums_the_sheet(transposed, tmp_path):
    ImageFont = pytest.importorskip("PIL.ImageFont")
    font = ImageFont.truetype(raster._import_pillow()[-1], 16)
    x = floats(2, 3, 3) if transposed else floats(3, 4, 5)
    path = tmp_path / "a.svg"
    drawing = Drawing(draw.animate(x, floats(2, 3, 2, 2), path, transposed=transposed))
    widths = {
        rect.get("id"): float(rect.get("width"))
        for rect in drawing.root.iter(SVG + "rect")
        if rect.get("id")
    }
    for text in drawing.root.iter(SVG + "text"):
        if "data-cell" in text.attrib:
            assert font.getlength(text.text) <= widths[text.get("data-cell")] - 2, text.text
    bottom = float(drawing.root.get("height"))
    for line in drawing.root.iter(SVG + "tspan"):
        assert font.getlength(line.text) <= float(drawing.root.get("width")) - 20
        assert float(line.get("y")) < bottom


def test_the_title_says_what_was_asked_for(tmp_path):
    def title(*arguments, **settings):
        path = draw.animate(*arguments, tmp_path / "a.html", **settings).path
        return re.search("<h1>(.*)</h1>", path.read_text(encoding="utf-8"))[1]

    assert title(X, K) == "X (2, 3, 3) ∗ K (2, 2, 2) = Y (2, 2)"
    assert title(X, K3, strides=(1, 2), padding=1) == (
        "X (2, 3, 3) ∗ K (3, 2, 2, 2) = Y (3, 4, 2); strides (1, 2); padding 1; "
        "dashed cells are padding"
    )
    depthwise = title(X, K.expand_dims(1), groups=2, padding=1, padding_mode="edge")
    assert "; groups 2; padding_mode edge; " in depthwise
    assert title(X, nd.ones((2, 1, 2, 2)), groups=2, padding=1, transposed=True) == (
        "Transposed convolution: X (2, 3, 3) × K (2, 1, 2, 2) → Y (2, 2, 2); padding 1; groups 2; "
        "dashed cells are cut off"
    )


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "uint8"])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_dtype_can_be_animated(dtype, transposed, tmp_path):
    x, k = nd.array([[[3, 5]]], dtype=dtype), nd.array([[[2]]], dtype=dtype)
    drawing = Drawing(draw.animate(x, k, tmp_path / "a.svg", transposed=transposed))
    np.testing.assert_array_equal(drawing.numbers(1)["Y.0"], [[6, 10]])


# Files


def frames_of(gif):
    """Each frame as RGB, and the durations in milliseconds."""
    Image = pytest.importorskip("PIL.Image")
    with Image.open(str(gif)) as image:
        frames, durations = [], []
        for n in range(image.n_frames):
            image.seek(n)
            frames.append(np.array(image.convert("RGB")))
            durations.append(image.info["duration"])
        return frames, durations, image.info["loop"]


def test_a_gif_has_a_frame_for_each_element_and_repeats(tmp_path):
    path = draw.animate(X, K3, tmp_path / "a.gif", padding=1, seconds=0.8)
    frames, durations, loop = frames_of(path)
    assert len(frames) == 3 * 16
    assert durations == [800] * 47 + [1600]
    assert loop == 0  # forever


@pytest.mark.parametrize("transposed", [False, True])
def test_a_gif_shows_what_the_svg_shows(transposed, tmp_path):
    x, k = integers((2, 3, 3)), integers((2, 2, 2, 2))
    settings = dict(padding=1, transposed=transposed)
    drawing = Drawing(draw.animate(x, k, tmp_path / "a.svg", **settings))
    frames, _, _ = frames_of(draw.animate(x, k, tmp_path / "a.gif", **settings))
    assert len(frames) == len(drawing.frames)
    size = drawing.root.get("width"), drawing.root.get("height")
    assert frames[0].shape[1::-1] == tuple(map(int, size))
    rects = [rect for rect in drawing.root.iter(SVG + "rect") if rect.get("id")]
    colors = [tuple(bytes.fromhex(shade[1:])) for shade in ("#ffffff", "#f1f1f1", *SHADES)]
    looks = {}
    for n, frame in enumerate(frames):
        lit, numbers = drawing.lit(n), drawing.numbers(n)
        for rect in rects:
            plane, i, j = rect.get("id").rsplit(".", 2)
            x, y, width = (int(rect.get(name)) for name in ("x", "y", "width"))
            cell = frame[y + 3 : y + CELL - 2, x + 3 : x + width - 2]
            color = colors[rect.get("id") in drawing.padding]
            if [int(i), int(j)] in lit.get(plane, []):
                color = colors[2 + (n >= len(frames) // 2)]
            assert tuple(cell[0, 0]) == color, (n, rect.get("id"))
            blank = plane not in numbers or np.isnan(numbers[plane][int(i), int(j)])
            assert (cell == color).all() == blank, (n, rect.get("id"))
            if not blank:  # the same number looks the same everywhere
                key = numbers[plane][int(i), int(j)], color
                np.testing.assert_array_equal(cell, looks.setdefault(key, cell))


@pytest.mark.parametrize("suffix", [".gif", ".svg", ".html"])
def test_the_same_arrays_give_the_same_file(suffix, tmp_path):
    one = draw.animate(X, K3, tmp_path / ("a" + suffix), padding=1)
    other = draw.animate(X, K3, tmp_path / ("b" + suffix), padding=1)
    assert one.path.read_bytes() == other.path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a" + suffix, "b" + suffix]


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_text_files_refer_to_nothing_outside(suffix, tmp_path):
    text = draw.animate(X, K3, tmp_path / ("a" + suffix)).path.read_text(encoding="utf-8")
    text = text.replace("http://www.w3.org/2000/svg", "")
    for call in ("url(", "@import", "fetch(", "http:", "https:", "src="):
        assert call not in text
    assert set(re.findall('href="(.)', text)) == {"#"}
    assert ("<script" in text) == (suffix == ".html")


def test_every_kind_displays_itself_in_a_notebook(tmp_path):
    pytest.importorskip("PIL")
    gif = draw.animate(X, K, tmp_path / "a.GIF")
    assert gif._repr_html_().startswith('<img src="data:image/gif;base64,R0lGOD')
    svg = draw.animate(X, K, str(tmp_path / "a.svg"))
    assert svg._repr_html_().startswith('<img src="data:image/svg+xml;base64,')
    page = draw.animate(X, K, tmp_path / "a.html")._repr_html_()
    assert page.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    video = draw.Animation(tmp_path / "a.mp4")
    video.path.write_bytes(b"video")
    assert video._repr_html_().startswith('<video src="data:video/mp4;base64,dmlkZW8="')
    for shown in (gif._repr_html_(), svg._repr_html_(), page, video._repr_html_()):
        assert re.search(' (alt|title|aria-label)="Animation of a convolution"', shown)
    assert ' sandbox="allow-scripts" ' in page  # as it is the file's, not the notebook's
    assert str(svg) == svg.__fspath__() == str(tmp_path / "a.svg")


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_a_relative_path_is_found_after_the_working_directory_changed(
    suffix, tmp_path, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    shown = draw.animate(X, K, "a" + suffix)
    text, before = repr(shown), shown._repr_html_()
    assert text == f"Animation(path={Path('a' + suffix)!r})"  # the same on any machine
    monkeypatch.chdir("elsewhere")
    assert shown._repr_html_() == before and repr(shown) == text
    with open(shown, "rb") as file:
        assert file.read() == (tmp_path / ("a" + suffix)).read_bytes()


@pytest.fixture
def ffmpeg():
    try:
        return raster._find_ffmpeg()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("seconds, fps", [(0.4, 5), (0.25, 8)])
def test_an_mp4_is_a_video_of_the_frames(seconds, fps, ffmpeg, tmp_path):
    path = draw.animate(X, K, tmp_path / "a.mp4", seconds=seconds)
    told = subprocess.run([ffmpeg, "-i", str(path)], stderr=subprocess.PIPE, text=True).stderr
    (stream,) = re.findall("Stream.*Video.*", told)
    width, height = map(int, re.search(r", (\d+)x(\d+)", stream).groups())
    assert "yuv420p" in stream and f" {fps} fps" in stream and fps >= raster.RATE
    (gif, _, _) = frames_of(draw.animate(X, K, tmp_path / "a.gif"))
    assert (height, width) == (len(gif[0]) + raster.CONTROLS, gif[0].shape[1])
    raw = subprocess.run(
        [ffmpeg, "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    shown = np.frombuffer(raw, np.uint8).reshape((-1, height, width, 3)).astype(int)
    assert len(shown) == 2 * 5  # pictures of each of four frames, the last for two
    assert shown[:, len(gif[0]) :].min() > 250  # white
    shown = shown[:, : len(gif[0])]
    for n, picture in enumerate(shown):
        frame = min(n // 2, 3)
        differences = [np.abs(picture - other).mean() for other in gif]
        assert np.argmin(differences) == frame and differences[frame] < 2


def test_a_fast_mp4_keeps_all_its_frames(ffmpeg, tmp_path):
    path = draw.animate(X, K, tmp_path / "a.mp4", seconds=0.05)
    told = subprocess.run([ffmpeg, "-i", str(path)], stderr=subprocess.PIPE, text=True).stderr
    assert "20 fps" in told and "Duration: 00:00:00.25" in told


def as_ffmpeg(folder, script, monkeypatch):
    """Put a script in the place of ffmpeg."""
    file = folder / "ffmpeg"
    file.write_text("#!/bin/sh\n" + script)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


TO_FILE = 'for file; do true; done; cat > "$file"; '  # the last argument
FAILING = {  # scripts in the place of ffmpeg, by what the error says
    "echo no encoder >&2; exit 3": "no encoder",
    "cat >/dev/null; echo no encoder; exit 1": "no encoder",
    "head -c 1000000 >/dev/null; echo no encoder; exit 1": "no encoder",  # in the second frame
    TO_FILE + "exit 1": "it wrote 3024000 bytes and returned 1",
    "cat >/dev/null": "it wrote 0 bytes and returned 0",
    TO_FILE + ': > "$file"': "it wrote 0 bytes and returned 0",
}


@pytest.mark.parametrize("script", FAILING)
def test_what_ffmpeg_says_is_in_the_error(script, tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    (tmp_path / "bin").mkdir()
    as_ffmpeg(tmp_path / "bin", script, monkeypatch)
    (tmp_path / "a.mp4").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="couldn't write the MP4: " + FAILING[script]):
        draw.animate(X, K, tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "bin"]


def test_what_ffmpeg_says_is_in_the_error_if_it_ends_before_the_last_bytes(tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    gone = tmp_path / "gone"
    as_ffmpeg(tmp_path, f"exec <&-; echo no encoder; touch '{gone}'; exit 1", monkeypatch)

    class Image:
        def tobytes(self):
            while not gone.exists():
                time.sleep(0.01)
            return b"so few that they are written when the pipe is closed"

    monkeypatch.setattr(raster, "_images", lambda film: [Image()])
    with pytest.raises(RuntimeError, match="no encoder"):
        draw.animate(X, K, tmp_path / "a.mp4")


@pytest.mark.parametrize("owner, name", [(raster, "_images"), (subprocess.Popen, "wait")])
def test_ctrl_c_ends_ffmpeg_and_leaves_the_file_as_it_was(owner, name, tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    pid, function = tmp_path / "pid", getattr(owner, name)
    script = f"echo $$ > '{pid}'; cat >/dev/null; sleep 5; touch '{tmp_path}/survived'"
    as_ffmpeg(tmp_path, script, monkeypatch)
    (tmp_path / "a.mp4").write_bytes(b"old")

    def interrupted(*_):
        monkeypatch.setattr(owner, name, function)  # it is called again
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw.animate(X, K, tmp_path / "a.mp4")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert (tmp_path / "a.mp4").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "ffmpeg", "pid"}


def test_without_ffmpeg_the_error_names_both_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ImportError, match=r"PATH.*mxconv\[video\]"):
        draw.animate(X, K, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["PIL", "matplotlib"])
def test_without_pillow_or_matplotlib_the_error_names_the_extra(missing, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"mxconv\[plot\]"):
        draw.animate(X, K, tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
    draw.animate(X, K, tmp_path / "a.svg")
    draw.animate(X, K, tmp_path / "a.html")


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_in_a_terminal_if_it_takes_long(terminal, tmp_path, monkeypatch, capsys):
    for library in ("PIL", "tqdm"):
        pytest.importorskip(library)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    draw.animate(X, K, tmp_path / "a.gif")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(raster, "MANY_PIXELS", 0)
    draw.animate(X, K, tmp_path / "a.gif")
    assert ("4/4" in capsys.readouterr().err) == terminal


def test_the_examples_animations_and_figures_have_different_names(monkeypatch):
    examples = Path(__file__).resolve().parents[1] / "examples"
    monkeypatch.syspath_prepend(str(examples))
    animations, figures = (
        runpy.run_path(str(examples / f"{name}.py"))[name.upper()]
        for name in ("animations", "figures")
    )
    assert not animations.keys() & figures.keys()


# Errors

PAST = dict(X=nd.ones((2, 2, 2)), K=nd.ones((2, 3, 2, 2)), transposed=True)
BAD = [  # what differs from animate(X, K, "a.svg"), the error, what its message has to say
    (dict(path="a.png"), ValueError, [".gif or .mp4 or .svg or .html", "a.png"]),
    (dict(path="no/such/a.svg"), ValueError, ["no directory", "no/such"]),
    (dict(path=1), TypeError, ["path=1"]),
    (dict(X=X.asnumpy()), TypeError, ["X", "numpy.ndarray"]),
    (dict(X=X.asnumpy(), transposed=True), TypeError, ["X", "numpy.ndarray"]),
    (dict(K=K.asnumpy(), transposed=True), TypeError, ["K", "numpy.ndarray"]),
    (dict(X=X[0]), ValueError, ["(3, 3)", "(c_i, h, w)"]),
    (dict(X=X[:1]), ValueError, ["1 channels", "(1, 3, 3)"]),
    (dict(groups=2), ValueError, ["groups=2"]),
    (dict(strides=0), ValueError, ["strides=0"]),
    (dict(dilation="2"), TypeError, ["dilation='2'"]),
    (dict(padding=4), ValueError, ["10 rows", "padding=(4, 4)"]),
    (dict(padding_mode="mirror"), ValueError, ["padding_mode='mirror'"]),
    (dict(transposed="yes"), TypeError, ["transposed='yes'"]),
    (dict(bias=nd.ones(1)), TypeError, ["bias"]),
    (dict(output_channel=1), ValueError, ["one of 1", "output_channel=1"]),
    (dict(output_channel="0"), TypeError, ["output_channel='0'"]),
    (dict(seconds=0), ValueError, ["seconds=0"]),
    (dict(seconds=0.01), ValueError, ["0.05 to 60", "seconds=0.01"]),
    (dict(seconds=61), ValueError, ["0.05 to 60", "seconds=61"]),
    (dict(seconds="1"), TypeError, ["seconds='1'"]),
    (
        dict(X=nd.ones((1, 8, 8)), K=nd.ones((4, 1, 1, 1))),
        ValueError,
        ["200 frames", "4 output channels of 8x8", "256", "output_channel"],
    ),
    (dict(PAST, X=nd.ones((1, 2, 2))), ValueError, ["X has 1 channels and K makes 2", "(1, 2, 2)"]),
    (dict(PAST, X=nd.ones((2, 2))), ValueError, ["(c_o, o_h, o_w)", "(2, 2)"]),
    (dict(PAST, K=nd.ones((2, 2))), ValueError, ["(c_o, c_i / groups, k_h, k_w)", "(2, 2)"]),
    (dict(PAST, groups="2"), TypeError, ["groups='2'"]),
    (dict(PAST, groups=3), ValueError, ["groups=3"]),
    (dict(PAST, groups=2), ValueError, ["4 input", "Y.shape=(6, 3, 3)"]),
    (dict(PAST, padding=2), ValueError, ["padding=2", "cuts off"]),
    (dict(PAST, strides=9), ValueError, ["10 rows", "Y.shape=(3, 11, 11)"]),
    (dict(PAST, strides=10**8), ValueError, ["10 rows", "Y.shape=(3, 100000002, 100000002)"]),
    (dict(PAST, padding_mode="edge"), ValueError, ["'zeros'", "padding_mode='edge'"]),
]


@pytest.mark.parametrize("arguments, error, says", BAD)
def test_bad_input_is_refused_at_the_call(arguments, error, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        draw.animate(**{**dict(X=X, K=K, path="a.svg"), **arguments})
    for words in says:
        assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_empty_kernel_is_refused_if_transposed(tmp_path):
    with mx.util.np_shape(True):
        k = mx.np.ones((2, 0, 2, 2)).as_nd_ndarray()
    with pytest.raises(ValueError, match=r"neither empty.*K.shape=\(2, 0, 2, 2\)"):
        draw.animate(X, k, tmp_path / "a.svg", transposed=True)


def test_a_file_that_is_too_large_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "MAX_BYTES", 5000)
    with pytest.raises(ValueError, match=r"0.0 MB.*at most 0.005.*output_channel"):
        draw.animate(X, K, tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())


def test_a_gif_that_needs_too_much_memory_is_refused(tmp_path):
    x, k = floats(4, 8, 8), floats(3, 4, 3, 3)
    with pytest.raises(ValueError, match="too large for a GIF: 192 frames.*output_channel"):
        draw.animate(x, k, tmp_path / "a.gif", padding=1)
    assert not list(tmp_path.iterdir())


# In a browser


def in_a_browser(test):
    return pytest.mark.slow(pytest.mark.browser(test))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = chromium.start(
        tmp_path_factory.mktemp("profile"), "to run animations, and to use their buttons and keys"
    )
    yield browser
    browser.quit()


class Tab:
    """A file in the browser, as its reader uses it."""

    def __init__(self, browser, path, width=1200, height=900, motion="no-preference"):
        self.browser = browser
        metrics = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [dict(name="prefers-reduced-motion", value=motion)]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(features=features))
        for name in ("browser", "performance"):
            browser.get_log(name)  # drops what is there
        self.address = path.as_uri()
        browser.get(self.address)

    def run(self, code, *arguments):
        return self.browser.execute_script("return " + code, *arguments)

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def press(self, *keys):
        """Press keys one after the other, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            ActionChains(self.browser).send_keys(getattr(Keys, key.upper())).perform()

    def until(self, condition, seconds=20):
        """Wait until a condition holds."""
        end = time.time() + seconds
        while not condition():
            assert time.time() < end, f"not within {seconds} s"
            time.sleep(0.05)

    def assert_quiet(self):
        """That nothing was logged, and nothing requested but the file."""
        assert self.browser.get_log("browser") == []
        logged = self.browser.get_log("performance")
        events = [json.loads(entry["message"])["message"] for entry in logged]
        asked = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        assert set(asked) == {self.address}


VISIBLE = (
    "[...document.querySelectorAll('[data-since]')].map("
    "  node => getComputedStyle(node).visibility === 'visible')"
)
SPANS = (
    "[...document.querySelectorAll('[data-since]')].map("
    "  node => [+node.dataset.since, +(node.dataset.until || 1e9)])"
)


def assert_shows(tab, n):
    """That exactly what belongs to frame n is visible."""
    spans = tab.run(SPANS)
    assert tab.run(VISIBLE) == [since <= n < until for since, until in spans]


@in_a_browser
@pytest.mark.parametrize("transposed", [False, True])
def test_an_svg_runs_by_itself(transposed, browser, tmp_path):
    x = integers((3, 2, 2)) if transposed else X
    path = draw.animate(x, K3, tmp_path / "a.svg", transposed=transposed).path
    tab = Tab(browser, path)
    seek = "document.getAnimations().map(a => { a.pause(); a.currentTime = arguments[0]; })"
    for n in [*range(12), 12]:  # the last frame takes the time of two
        tab.run(seek, 1000 * n + 500)
        assert_shows(tab, min(n, 11))
    tab.assert_quiet()


@in_a_browser
def test_an_svg_stands_still_for_those_who_prefer_it(browser, tmp_path):
    path = draw.animate(X, K3, tmp_path / "a.svg").path
    tab = Tab(browser, path, motion="reduce")
    assert tab.run("document.getAnimations().length") == 0
    assert_shows(tab, 11)


@in_a_browser
def test_several_svgs_run_inline_in_one_page(browser, tmp_path):
    one = draw.animate(X, K3, tmp_path / "a.svg").path
    other = draw.animate(X[:, :2], K, tmp_path / "b.svg", padding=1, seconds=0.5).path
    drawings = [path.read_text(encoding="utf-8") for path in (one, other)]
    (tmp_path / "page.html").write_text(
        "<meta charset=utf-8>" + "".join(drawings), encoding="utf-8"
    )

    def state(svg):
        """For each moment: what is visible, and where the lit cells are in the drawing."""
        return tab.run(MOMENTS, svg)

    tab = Tab(browser, tmp_path / "page.html")
    together = [state(0), state(1)]
    alone = []
    for path in (one, other):
        tab = Tab(browser, path)
        alone.append(state(0))
    assert together == alone and all(map(len, alone[0]))


MOMENTS = """(() => {
    const svg = document.querySelectorAll("svg")[arguments[0]], frame = svg.getBoundingClientRect();
    const animations = document.getAnimations().filter(a => svg.contains(a.effect.target));
    return [100, 700, 1300, 2600].map(time => {
      for (const a of animations) { a.pause(); a.currentTime = time; }
      return [...svg.querySelectorAll("[data-since], use")].map(node => {
        const box = node.getBoundingClientRect();
        return [getComputedStyle(node).visibility,
          ...(node.tagName === "use" ? [box.x - frame.x, box.y - frame.y] : [])];
      });
    });
  })()"""


@in_a_browser
def test_an_svg_runs_in_an_img(browser, tmp_path):
    draw.animate(X, K3, tmp_path / "a.svg", seconds=0.2)
    (tmp_path / "slide.html").write_text('<img src="a.svg">')
    tab = Tab(browser, tmp_path / "slide.html")
    seen = set()
    tab.until(lambda: seen.add(browser.get_screenshot_as_base64()) or len(seen) > 5)


@in_a_browser
def test_the_controls_of_a_video_leave_its_sum_readable(ffmpeg, browser, tmp_path):
    Image = pytest.importorskip("PIL.Image")
    video = draw.animate(X, K, tmp_path / "a.mp4")
    shown = '<body style="margin: 0">' + video._repr_html_()
    (tmp_path / "notebook.html").write_text(shown, encoding="utf-8")
    tab = Tab(browser, tmp_path / "notebook.html")
    tab.until(lambda: tab.run("document.querySelector('video').readyState") == 4)
    (gif, _, _) = frames_of(draw.animate(X, K, tmp_path / "a.gif"))
    height, width, _ = gif[0].shape
    line = slice(height - MARGIN - LINE, height - MARGIN), slice(width)
    painted = gif[0][line].mean(axis=-1)
    with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as image:
        seen = np.array(image.convert("L"))[line]
    assert seen[painted < 40].max() < 80 and seen[painted > 250].min() > 160


def frame_of(tab):
    return tab.find("output").text


@pytest.fixture
def tab(browser, tmp_path):
    """The chapter's arrays as HTML; nothing may be logged or requested."""
    path = draw.animate(X, K3, tmp_path / "a.html", seconds=0.5).path
    tab = Tab(browser, path)
    yield tab
    tab.assert_quiet()


@in_a_browser
def test_the_page_steps_by_buttons_keys_and_slider(tab, tmp_path):
    sums = Drawing(draw.animate(X, K3, tmp_path / "a.svg")).sums
    assert_shows(tab, 0)
    assert tab.find("#sum").text == sums[0]
    tab.find("#next").click()
    assert_shows(tab, 1)
    assert tab.find("#sum").text == sums[1] and frame_of(tab) == "2 of 12"
    tab.press("arrow_right", "arrow_right", "arrow_left")
    assert_shows(tab, 2)
    tab.find("#back").click()
    tab.find("#back").click()
    tab.find("#back").click()  # there is none before the first
    assert_shows(tab, 0)
    tab.find("#frame").click()  # its middle
    middle = int(frame_of(tab).split()[0]) - 1
    assert 4 <= middle <= 7
    assert_shows(tab, middle)
    tab.press("end")
    assert_shows(tab, 11)
    assert tab.find("#sum").text == sums[11]
    assert tab.find("#frame").get_attribute("aria-valuetext") == "12 of 12"
    tab.press("arrow_right")
    assert_shows(tab, 11)
    tab.press("home", "arrow_right")  # one step, though the slider has keys of its own
    assert_shows(tab, 1)


@in_a_browser
def test_the_page_plays_and_pauses(tab):
    tab.press("space")
    assert tab.find("#play").text == "Pause"
    assert tab.find("#sum").get_attribute("aria-live") == "off"
    tab.until(lambda: frame_of(tab) == "3 of 12")
    tab.find("#play").click()
    assert tab.find("#play").text == "Play"
    assert tab.find("#sum").get_attribute("aria-live") == "polite"
    tab.run("show(11)")
    tab.press("space")  # on the button, which has the focus
    tab.until(lambda: frame_of(tab) == "1 of 12")  # it begins anew
    tab.press("arrow_right")
    assert tab.find("#play").text == "Play"


@in_a_browser
@pytest.mark.parametrize("width", [320, 390])
def test_a_narrow_screen_shows_the_picture_and_the_sum(width, browser, tmp_path):
    x, k = nd.random.normal(shape=(3, 6, 6)), nd.random.normal(shape=(2, 3, 3, 3))
    tab = Tab(browser, draw.animate(x, k, tmp_path / "a.html", 2).path, width, 844)
    assert tab.run("document.documentElement.scrollWidth") <= width
    for selector in ("#picture", "#sum", "#next", "#frame"):
        box = tab.find(selector).rect
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    for selector in ("#next", "#frame"):
        code = f"document.querySelector('{selector}').getBoundingClientRect()"
        assert tab.run(code)["bottom"] <= 844

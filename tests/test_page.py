"""The page: what its file holds."""

import html
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

from helpers import K3, K, X
from mxconv import draw
from page_tab import images, random

import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn

ROOT = Path(__file__).resolve().parents[1]


class Parsed(HTMLParser):
    """A page's text by the tag or the id that it stands in, its tags, and the data it shows."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags, self.inside = {}, [], None
        self.feed(text)
        self.data = json.loads(self.text["data"])

    def handle_starttag(self, tag, attributes):
        self.inside = dict(attributes).get("id", tag)
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.text[self.inside] = self.text.get(self.inside, "") + text


def array_of(array):
    """The numbers that the page's data has for an array."""
    return np.array([float(value) for value in array["data"]]).reshape(array["shape"])


def test_the_chapters_arrays(tmp_path):
    made = draw.page(X, K3, tmp_path / "page.html")
    assert made.path == tmp_path / "page.html"
    assert made.path.read_text(encoding="utf-8") == made.html
    (scene,) = Parsed(made.html).data["scenes"]
    assert scene["X"] == dict(shape=[2, 3, 3], data=[*range(9), *range(1, 10)])
    assert scene["kernels"][0]["K"]["data"] == K3.reshape(-1).asnumpy().tolist()
    assert scene["kernels"][0]["settings"] == dict(
        strides=[1, 1], padding=[[0, 0], [0, 0]], dilation=[1, 1], groups=1, mode="zeros"
    )


def test_settings_are_those_of_the_geometry():
    made = draw.page(X, nd.ones((4, 1, 2, 1)), None, 2, ((0, 1), (0, 0)), (2, 1), 2, "replicate")
    assert Parsed(made.html).data["scenes"][0]["kernels"][0]["settings"] == dict(
        strides=[2, 2], padding=[[0, 1], [0, 0]], dilation=[2, 1], groups=2, mode="edge"
    )


def test_every_number_is_exact():
    values = [np.nan, np.inf, -np.inf, 0.1, -1e-42, 3.4e38, 2**24, -7, 1e21, 0.0, -0.0]
    made = draw.page(nd.array([[values]]), nd.ones((1, 1, 1)))
    kept = array_of(Parsed(made.html).data["scenes"][0]["X"]).ravel()
    assert np.array_equal(kept, np.float32(values).astype(float), equal_nan=True)
    assert np.array_equal(np.signbit(kept[1:]), np.signbit(values[1:]))


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int32", "uint8", "bfloat16"])
def test_every_dtype_is_drawn(dtype):
    dtype = np.dtype([("bfloat16", np.uint16)]) if dtype == "bfloat16" else dtype
    made = draw.page(X.astype(dtype), K.astype(dtype))
    (scene,) = Parsed(made.html).data["scenes"]
    assert np.array_equal(array_of(scene["X"]), X.asnumpy())
    assert np.array_equal(array_of(scene["kernels"][0]["K"])[0], K.asnumpy())


def test_parts_of_what_a_layer_computed_are_drawn():
    layer = nn.Conv2D(2, 3, padding=1, in_channels=8)
    layer.initialize()
    y = layer(random(1, 8, 4, 4))
    made = draw.page(y[0], layer.weight.data()[:, 2:4, :2])
    (scene,) = Parsed(made.html).data["scenes"]
    assert np.array_equal(array_of(scene["X"]), y.asnumpy()[0])
    weight = layer.weight.data().asnumpy()[:, 2:4, :2]
    assert np.array_equal(array_of(scene["kernels"][0]["K"]), weight)


def test_images_are_scenes_with_kernels_of_same_padding():
    given = images()
    numbers, *scenes = Parsed(draw.page(X, K3, images=given).html).data["scenes"]
    assert [scene["name"] for scene in scenes] == list(given)
    for scene, (array, kernels) in zip(scenes, given.values()):
        assert np.array_equal(array_of(scene["X"]), array.asnumpy())
        assert [kernel["name"] for kernel in scene["kernels"]] == list(kernels)
        for found, kernel in zip(scene["kernels"], kernels.values()):
            assert np.array_equal(array_of(found["K"]), kernel.asnumpy())
            pads = [[size // 2] * 2 for size in kernel.shape[2:]]
            assert found["settings"]["padding"] == pads


COLORFUL = np.arange(27).reshape(3, 3, 3)


@pytest.mark.parametrize(
    "values, named",
    [
        (COLORFUL, True),
        (COLORFUL * 255 // 26, True),
        (COLORFUL / 26, False),
        (COLORFUL - 1, False),
        (COLORFUL * 10, False),
        (COLORFUL % 2, False),  # a mask
        (COLORFUL[:2], False),
        (np.where(COLORFUL == 5, np.nan, COLORFUL), False),
    ],
)
def test_a_photographs_channels_have_names(values, named):
    x, k = nd.array(values), nd.ones((len(values), 1, 1))
    numbers, scene = Parsed(draw.page(x, k, images={"a": (x, {"sum": k})}).html).data["scenes"]
    assert numbers["colors"] == []
    assert scene["colors"] == (["red", "green", "blue"] if named else [])


def test_the_page_is_one_small_file_that_calls_nothing(tmp_path):
    made = draw.page(8 * random(8, 16, 16), random(8, 8, 3, 3), tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert len(made.html.encode()) < 500_000
    for text in (made.html, draw.page(X, K3, images=images()).html):
        page = Parsed(text)
        assert len(text.encode()) < 1_000_000
        assert not [tag for tag, _ in page.tags if tag in ("link", "img", "iframe", "base")]
        assert not [given for _, given in page.tags if {"src", "href", "action"} & set(given)]
        policies = [given["content"] for _, given in page.tags if "http-equiv" in given]
        assert policies == [
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
        ]
        for call in ("url(", "@import", "fetch(", "XMLHttpRequest", "http:", "https:"):
            assert call not in text


def test_names_and_the_title_are_text():
    text = '</title></script><script>alert(1)</script> $data & "é"'
    page = Parsed(draw.page(X, K, title=text, images={text: (X, {text: K})}).html)
    assert page.text["title"].strip() == page.text["h1"].strip() == text
    assert page.data["scenes"][1]["name"] == page.data["scenes"][1]["kernels"][0]["name"] == text
    scripts = [tag for tag, _ in Parsed(draw.page(X, K).html).tags].count("script")
    assert [tag for tag, _ in page.tags].count("script") == scripts


def test_a_notebook_shows_the_page_in_a_frame(tmp_path):
    made = draw.page(X, K3, title='"quoted" & <tagged>')
    assert made.path is None
    assert repr(made) == f"<mxconv.draw.Page, {len(made.html)} characters of HTML>"
    assert "page.html" in repr(draw.page(X, K3, tmp_path / "page.html"))
    ((tag, frame),) = Frame(made._repr_html_()).tags
    assert tag == "iframe" and frame["sandbox"] == "allow-scripts" and frame["title"]
    assert frame["srcdoc"] == made.html
    (quoted,) = re.findall(r'srcdoc="([^"]*)"', made._repr_html_())
    assert html.unescape(quoted) == made.html


class Frame(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def test_its_parts_are_installed():
    from mxconv.draw import webpage

    parts = {path.name for path in (ROOT / "mxconv" / "draw" / "page").iterdir()}
    assert parts == {"page.html", "page.css", *(f"{name}.js" for name in webpage.SCRIPTS)}
    assert re.search('"mxconv.draw": .*"page/\\*"', (ROOT / "setup.py").read_text())


BAD = [  # what differs from page(X, K, "page.html"), the error, what its message has to say
    (dict(X=X.asnumpy()), TypeError, ["X", "numpy.ndarray"]),
    (dict(K=X[0]), ValueError, ["(3, 3)", "(c_i, k_h, k_w)"]),
    (dict(X=X.expand_dims(0)), ValueError, ["(1, 2, 3, 3)", "(c_i, h, w)", "X[0]"]),
    (dict(X=X[:1]), ValueError, ["1 channels", "(1, 3, 3)", "(1, 2, 2, 2)"]),
    (dict(bias=nd.ones((2,))), TypeError, ["page takes no bias", "doesn't draw"]),
    (dict(K=nd.ones((4, 4, 2, 2)), groups=2), ValueError, ["4 in each of 2 groups", "(2, 3, 3)"]),
    (dict(K=nd.ones((2, 4, 4))), ValueError, ["larger", "(4, 4)"]),
    (dict(X=nd.ones((2, 3, 17))), ValueError, ["too large", "16", "(2, 3, 17)"]),
    (dict(padding=7), ValueError, ["too large", "16", "padding=(7, 7)"]),
    (dict(X=nd.ones((9, 3, 3)), K=nd.ones((9, 1, 1))), ValueError, ["8 input", "(9, 3, 3)"]),
    (dict(K=nd.ones((9, 2, 1, 1))), ValueError, ["8 input", "(9, 2, 1, 1)"]),
    (dict(X=nd.ones((2, 8, 8)), K=nd.ones((2, 8, 7))), ValueError, ["100 products"]),
    (dict(strides=0), ValueError, ["strides=0"]),
    (dict(strides=1.5), TypeError, ["strides=1.5"]),
    (dict(padding=-1), ValueError, ["padding=-1"]),
    (dict(padding=3, padding_mode="reflect"), ValueError, ["reflect", "3"]),
    (dict(padding_mode="mirror"), ValueError, ["padding_mode='mirror'"]),
    (dict(padding_mode=None), ValueError, ["padding_mode=None"]),
    (dict(dilation="2"), TypeError, ["dilation='2'"]),
    (dict(groups=0), ValueError, ["groups=0"]),
    (dict(groups=1.0), TypeError, ["groups=1.0"]),
    (dict(K=nd.ones((3, 1, 2, 2)), groups=2), ValueError, ["groups=2", "3"]),
    (dict(K=nd.ones((1, 2, 2)), groups=2), ValueError, ["groups=2", "(1, 2, 2)", "c_o"]),
    (dict(title=None), TypeError, ["title=None"]),
    (dict(path=3), TypeError, ["path=3"]),
    (dict(path="page.svg"), ValueError, [".html", "page.svg"]),
    (dict(path="no/such/page.html"), ValueError, ["no directory", "no/such"]),
    (dict(images=[X]), TypeError, ["dict", "images="]),
    (dict(images={1: (X, {"k": K})}), TypeError, ["names as keys", "images="]),
    (dict(images={"a": X}), TypeError, ["pair", "images['a']"]),
    (dict(images={"a": (X,)}), TypeError, ["pair", "images['a']"]),
    (dict(images={"a": (X, K)}), TypeError, ["dict", "images['a'][1]"]),
    (dict(images={"a": (X, {})}), ValueError, ["at least one kernel", "images['a']"]),
    (dict(images={"a": (X.asnumpy(), {"k": K})}), TypeError, ["X", "ndarray", "images['a']"]),
    (dict(images={"a": (X[0], {"k": K})}), ValueError, ["(3, 3)", "images['a']"]),
    (dict(images={"a": (X, {"k": K[:1]})}), ValueError, ["2 channels", "images['a']", "'k'"]),
    (dict(images={"a": (nd.ones((2, 3, 256)), {"k": K})}), ValueError, ["256", "images['a']"]),
    (dict(images={"a": (X, {"k": nd.ones((17, 2, 1, 1))})}), ValueError, ["16 input", "'k'"]),
    (dict(images={"a": (X, {"k": nd.ones((2, 15, 15))})}), ValueError, ["400 products", "'k'"]),
]


@pytest.mark.parametrize("arguments, error, says", BAD)
def test_bad_input_is_refused_at_the_call(arguments, error, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        draw.page(**{**dict(X=X, K=K, path="page.html"), **arguments})
    for words in says:
        assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_example_writes_the_chapters_page():
    script = str(ROOT / "examples" / "page.py")
    output = subprocess.check_output([sys.executable, script], text=True)
    path = ROOT / "examples" / "output" / "page.html"
    assert output.endswith(f"wrote {path}\n")
    scenes = Parsed(path.read_text(encoding="utf-8")).data["scenes"]
    assert np.array_equal(array_of(scenes[0]["X"]), X.asnumpy())
    assert np.array_equal(array_of(scenes[0]["kernels"][0]["K"]), K3.asnumpy())
    assert len(scenes) > 1 and len(path.read_bytes()) < 1_000_000

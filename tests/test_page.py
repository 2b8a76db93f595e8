"""The page: what its file holds, what it computes and shows in a real browser, and for whom."""

import html
import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import chromium
import oracle
from helpers import K3, NUMPY_MODE, K, X, integers, luminance
from mxconv import ConvGeometry, draw
from mxconv.draw.sums import (
    as_factor,
    check_convolution,
    compute_sums,
    format_number,
    is_shown_exactly,
)
from mxconv.draw.webpage import LIMITS
from mxconv.exercises import count_cost

import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn

ROOT = Path(__file__).resolve().parents[1]


def random(*shape):
    return nd.random.normal(shape=shape)


# Made on demand, when the seed is set.
IMAGES = {
    "a photograph": lambda: (
        nd.array(np.random.randint(0, 256, (3, 40, 60))),
        {"edges": random(2, 3, 3, 3), "blur": nd.ones((3, 3, 3, 3)) / 27},
    ),
    "inside the network": lambda: (random(6, 14, 14), {"trained": random(16, 6, 5, 5)}),
}


def images():
    return {name: make() for name, make in IMAGES.items()}


# What the file holds


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
    values = [np.nan, np.inf, -np.inf, 0.1, -1e-42, 3.4e38, 2**24, -7, 1e21]
    made = draw.page(nd.array([[values]]), nd.ones((1, 1, 1)))
    kept = array_of(Parsed(made.html).data["scenes"][0]["X"]).ravel()
    assert np.array_equal(kept, np.float32(values).astype(float), equal_nan=True)


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


# In a browser


def in_a_browser(test):
    return pytest.mark.slow(pytest.mark.browser(test))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = chromium.start(
        tmp_path_factory.mktemp("profile"),
        "to click through the page, use its keys, and see it on a phone's screen and in dark mode",
    )
    yield browser
    browser.quit()


class Tab:
    """A page in the browser, as its reader uses it."""

    def __init__(self, browser, page, link="", size=(1280, 900)):
        self.browser, self.address = browser, page.path.as_uri()
        self.screen(*size)
        self.prefer()
        browser.get("about:blank")  # or a link to the page that is open wouldn't load it anew
        for name in ("browser", "performance"):
            browser.get_log(name)  # drops what is there
        browser.get(self.address + "#" + link)

    def screen(self, width, height):
        metrics = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme="light", motion="no-preference"):
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        features = [dict(name=name, value=value) for name, value in features.items()]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(features=features))

    def run(self, code, *arguments):
        return self.browser.execute_script("return " + code, *arguments)

    def find(self, selector):
        return self.browser.find_elements("css selector", selector)

    def text(self, selector):
        return self.run("document.querySelector(arguments[0]).textContent", selector)

    @property
    def sum(self):
        return self.text("#sum .total")

    @property
    def focused(self):
        return self.browser.switch_to.active_element

    def press(self, *keys):
        """Press keys together, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        keys = [getattr(Keys, key.upper(), key) for key in keys]
        chain = ActionChains(self.browser)
        for key in keys:
            chain.key_down(key)
        for key in reversed(keys):
            chain.key_up(key)
        chain.perform()

    def until(self, condition, seconds=30):
        """Wait until a condition holds."""
        end = time.time() + seconds
        while not condition():
            assert time.time() < end, f"not within {seconds} s; the sum is {self.sum}"
            time.sleep(0.05)


def assert_quiet(tab):
    """That the page has logged no error, and requested nothing but itself."""
    assert tab.browser.get_log("browser") == []
    log = [json.loads(entry["message"]) for entry in tab.browser.get_log("performance")]
    events = [entry["message"] for entry in log]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert set(asked) <= {tab.address}


@pytest.fixture
def tab(browser, tmp_path):
    """The chapter's arrays, with three output channels; nothing may be logged or requested."""
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html"))
    yield tab
    assert_quiet(tab)


# What the browser computes


def some_settings(valid=True):
    """Shapes of X and K and settings: such that there is a convolution, or any."""
    draw_from = np.random.randint
    groups = int(draw_from(1, 5))
    c_i, c_o = (groups * int(draw_from(1, 8 // groups + 1)) for _ in range(2))
    if draw_from(4) == 0:
        c_i = c_o = groups = int(draw_from(1, 9))
    size = draw_from(1, 10, 2).tolist()
    kernel = draw_from(1, 4, 2).tolist()
    settings = dict(
        strides=draw_from(1, 4, 2).tolist(),
        padding=draw_from(0, 4, (2, 2)).tolist(),
        dilation=draw_from(1, 4, 2).tolist(),
        groups=groups,
        mode=str(np.random.choice(list(NUMPY_MODE))),
    )
    if not valid:
        c_i, c_o = (c + int(draw_from(-1, 2)) * int(draw_from(5) == 0) or 1 for c in (c_i, c_o))
        size = [max(1, n + int(draw_from(-1, 7))) for n in size]
        kernel = [n + int(draw_from(0, 3)) for n in kernel]
        if draw_from(4) == 0:
            name = str(np.random.choice(["strides", "dilation"]))
            settings[name][draw_from(2)] = [0, -1, 1.5][draw_from(3)]
        if draw_from(6) == 0:
            settings["padding"][draw_from(2)][draw_from(2)] = [-1, 0.5, 9][draw_from(3)]
        if draw_from(8) == 0:
            settings["groups"] = [0, -1, 7][draw_from(3)]
    per_group = max(1, c_i // max(1, settings["groups"])) + int(not valid and draw_from(12) == 0)
    return (c_i, *size), (c_o, per_group, *kernel), settings


def arguments_of(settings):
    """The settings as arguments of `draw.page`."""
    names = dict(mode="padding_mode")
    return {
        names.get(name, name): tuple(map(tuple, value))
        if name == "padding"
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in settings.items()
    }


def is_drawn(x_shape, k_shape, settings):
    try:
        check_convolution(
            nd.ones(x_shape), nd.ones(k_shape), limits=LIMITS, **arguments_of(settings)
        )
    except (TypeError, ValueError):
        return False
    return True


def convolved(tab, cases):
    """What the browser computes for cases of X, K, in NumPy, and settings."""
    return tab.run(
        "arguments[0].map(([X, K, settings]) => {"
        " const c = new Convolution(X, K, settings);"
        " const {padded, border, parts, output, windows, cost, outHeight, outWidth} = c;"
        " return {padded, border, parts, output, windows, cost, size: [outHeight, outWidth],"
        "   inputs: range(c.outChannels).map(o => c.inputOf(o, 0))};"
        "})",
        [
            [dict(shape=array.shape, data=array.ravel().tolist()) for array in (x, k)] + [settings]
            for x, k, settings in cases
        ],
    )


@in_a_browser
@pytest.mark.parametrize("kind", ["integers", "floats"])
def test_the_browser_computes_what_mxconv_does(kind, tab):
    cases = []
    while len(cases) < 150:
        x_shape, k_shape, settings = some_settings()
        if is_drawn(x_shape, k_shape, settings):
            make = random if kind == "floats" else lambda *shape: integers(shape, most=9)
            cases.append((make(*x_shape).asnumpy(), make(*k_shape).asnumpy(), settings))
    assert any(s["groups"] == len(x) == len(k) > 1 for x, k, s in cases)  # depthwise
    found_ones = convolved(tab, [(x.astype(float), k.astype(float), s) for x, k, s in cases])
    for (x, k, settings), found in zip(cases, found_ones):
        x, k = x.astype(np.float64), k.astype(np.float64)
        arguments = arguments_of(settings)
        sums = compute_sums(nd.array(x), nd.array(k), limits=LIMITS, **arguments)
        assert np.array_equal(np.ravel(found["padded"]), sums.padded.ravel())
        assert found["border"] == list(np.flatnonzero(sums.border))
        assert np.array_equal(found["windows"], sums.windows)
        assert found["inputs"] == [sums.inputs_of(o)[0] for o in range(len(k))]
        size = sums.output.shape[1:]
        assert found["size"] == list(size)
        padded = np.pad(x, ((0, 0), *arguments["padding"]), mode=NUMPY_MODE[settings["mode"]])
        across = (None, settings["strides"], (0, 0), settings["dilation"], settings["groups"])
        expected = oracle.convolve(padded[None], k, *across)[0]
        magnitude = oracle.convolve(abs(padded)[None], abs(k), *across)[0]
        parts = np.reshape(found["parts"], sums.parts.shape)
        output = np.reshape(found["output"], sums.output.shape)
        if kind == "integers":
            assert np.array_equal(output, expected)
            assert np.array_equal(output, sums.output)
            assert np.array_equal(parts, sums.parts)
        else:
            of_parts = np.broadcast_to(magnitude[:, None], parts.shape)
            oracle.assert_within(output, expected, magnitude, np.float64)
            oracle.assert_within(output, sums.output, magnitude, np.float64)
            oracle.assert_within(parts, sums.parts, of_parts, np.float64)
        del arguments["padding_mode"]
        geometry = ConvGeometry(len(k), k.shape[2:], in_channels=len(x), **arguments)
        forward = count_cost(geometry, (1, *x.shape)).forward
        assert found["cost"] == dict(
            multiplications=forward.multiplications,
            additions=forward.additions,
            elements=x.size + k.size + expected.size,
        )


@in_a_browser
def test_the_browser_refuses_what_mxconv_refuses(tab):
    cases = [some_settings(valid=False) for _ in range(600)]
    found = tab.run(
        "arguments[0].map(([x, k, settings]) => problemWith(x, k, settings, DATA.limits))", cases
    )
    drawn = [is_drawn(*case) for case in cases]
    assert 100 < sum(drawn) < 500
    for case, problem, good in zip(cases, found, drawn):
        assert (problem is None) == good, (case, problem)


def some_numbers():
    """Numbers of every size, and those that are hard to round."""
    yield from [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1.7976931348623157e308, 2.2e-308]
    ties = [1.125, 1.135, 0.125, 2.5, 1000.5, 1001.5, 999.5, 999950, 1e6 - 0.5, 999999.5, 0.5e-4]
    ties += [1e21, 1e6, 1e-4, 9.995e-5, 99.95, 99.85, 999.4999, 123456.5, 1e15 + 0.5, 1024.5]
    near = [np.nextafter(tie, to) for tie in ties for to in (-np.inf, np.inf)]
    for number in ties + near:
        yield from (number, -number)
    yield from np.random.normal(size=1000)
    yield from 10 ** np.random.uniform(-12, 24, 1000)
    yield from np.round(10 ** np.random.uniform(-6, 8, 1000), 3)
    yield from np.random.randint(-(2**40), 2**40, 500) / 2.0 ** np.random.randint(0, 50, 500)
    bits = np.random.randint(0, 2**63 - 1, 2000, dtype=np.int64)
    yield from bits.view(np.float64)
    for exponent in range(-8, 9):  # halfway between numbers of three digits
        yield from (np.arange(100, 1000, 7) + 0.5) * 10.0**exponent


@in_a_browser
def test_numbers_are_written_as_figures_write_them(tab):
    numbers = [float(number) for number in some_numbers()]
    found = tab.run(
        "arguments[0].map(Number).map(n => [formatNumber(n), formatFactor(n), isShownExactly(n)])",
        [repr(number).replace("inf", "Infinity") for number in numbers],
    )
    for number, texts in zip(numbers, found):
        expected = [format_number(number), as_factor(number), is_shown_exactly(number)]
        assert texts == expected, number


# What readers see and do


PLANES = "[...planes.X, ...planes.K.flat(), ...planes.Y]"
NAMED = f"{PLANES}.find(plane => plane.caption.textContent === arguments[0])"


def cell(tab, name, position):
    return tab.run(f"{NAMED}.focusable(arguments[1])", name, position)


def marked(tab, kind="lit"):
    """The positions of the lit cells of each plane that has any, by its name."""
    return tab.run(
        f"Object.fromEntries({PLANES}.map(plane => [plane.caption.textContent, plane.cells.flatMap("
        " (cell, n) => cell.classList.contains(arguments[0]) ? [n] : [])]"
        ").filter(([_, positions]) => positions.length))",
        kind,
    )


def numbers(tab, name):
    return tab.run(f"{NAMED}.cells.map(cell => cell.textContent)", name)


def lines(tab):
    return [line.text for line in tab.find("#sum .line")]


def point(tab, element):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(tab.browser).move_to_element(element).perform()


def choose(tab, selector, value):
    from selenium.webdriver.support.ui import Select

    Select(tab.find(selector)[0]).select_by_visible_text(value)


def write(tab, name, value):
    """Write a value into a control and press Enter."""
    from selenium.webdriver.common.keys import Keys

    (control,) = tab.find(f"#controls [name={name}]")
    control.send_keys(Keys.CONTROL, "a", Keys.NULL, str(value) or Keys.DELETE, Keys.ENTER)


WINDOW = [0, 1, 3, 4]
ALL = [0, 1, 2, 3]


@in_a_browser
def test_the_page_opens_on_the_books_sum(tab):
    assert tab.browser.title == "Multiple input and output channels"
    assert tab.sum == "Y[0][0, 0] = 19 + 37 = 56"
    assert lines(tab) == [
        "X[0] ∗ K[0, 0]: 0×0 + 1×1 + 3×2 + 4×3 = 19",
        "X[1] ∗ K[0, 1]: 1×1 + 2×2 + 4×3 + 5×4 = 37",
    ]
    lit = {"X[0]": WINDOW, "X[1]": WINDOW, "K[0, 0]": ALL, "K[0, 1]": ALL, "Y[0]": [0]}
    assert marked(tab) == lit
    assert marked(tab, "now") == {"Y[0]": [0]}
    assert numbers(tab, "Y[0]") == ["56", "72", "104", "120"]
    assert numbers(tab, "K[2, 1]") == ["3", "4", "5", "6"]
    shapes = [node.text for node in tab.find("h2 small")]
    assert shapes == [
        "(2, 3, 3) input channels, rows, columns",
        "(3, 2, 2, 2) output channels, input channels, rows, columns",
        "(3, 2, 2) output channels, rows, columns",
    ]
    assert tab.text("#multiplications") == "96"
    assert tab.text("#ratio") == tab.text("#notice") == ""


@in_a_browser
def test_click_every_output(tab):
    sums = compute_sums(X, K3, 1, 0, 1, LIMITS)
    for o, plane in enumerate(sums.output):
        for position, total in enumerate(plane.flat):
            cell(tab, f"Y[{o}]", position).click()
            parts = [part.flat[position] for part in sums.parts[o]]
            row, column = divmod(position, 2)
            assert tab.sum == (f"Y[{o}][{row}, {column}] = {parts[0]:g} + {parts[1]:g} = {total:g}")
            window = list(sums.windows[position])
            lit = {f"X[{i}]": window for i in (0, 1)}
            lit.update({f"K[{o}, {i}]": ALL for i in (0, 1)})
            assert marked(tab) == {**lit, f"Y[{o}]": [position]}


@in_a_browser
def test_point_at_an_element_of_the_input(tab):
    before = marked(tab)
    point(tab, cell(tab, "X[1]", 4))
    assert tab.sum.startswith("X[1][1, 1] = 5 is in 12 products")
    assert not tab.find("#value") and "Click it to change it." in tab.sum
    assert "is in 12 products: 4 outputs in each of 3 output channels." in tab.sum
    taps = {f"K[{o}, 1]": ALL for o in range(3)}
    assert marked(tab) == {"X[1]": [4], **taps, **{f"Y[{o}]": ALL for o in range(3)}}
    assert lines(tab)[0].startswith("Y[0][0, 0]: 5×4 · Y[0][0, 1]: 5×3 · ")
    point(tab, cell(tab, "X[0]", 0))
    assert "is in 3 products: 1 output in each of 3 output channels." in tab.sum
    point(tab, tab.find("h1")[0])
    assert (marked(tab), tab.sum) == (before, "Y[0][0, 0] = 19 + 37 = 56")


@in_a_browser
def test_point_at_an_element_of_the_kernel(tab):
    before = marked(tab)
    point(tab, cell(tab, "K[2, 1]", 0))
    assert tab.sum.startswith("K[2, 1][0, 0] = 3 goes")
    assert "goes from input channel 1 to output channel 2." in tab.sum
    assert "once for every output of Y[2]: 4 products." in tab.sum
    assert marked(tab) == {"K[2, 1]": [0], "X[1]": WINDOW, "Y[2]": ALL}
    point(tab, tab.find("h1")[0])
    assert marked(tab) == before


@in_a_browser
def test_a_click_pins_and_escape_frees(tab):
    cell(tab, "X[0]", 8).click()
    pinned = marked(tab)
    assert pinned["Y[0]"] == [3]
    point(tab, cell(tab, "Y[1]", 0))
    point(tab, tab.find("h1")[0])
    assert marked(tab) == pinned
    tab.press("escape")
    assert tab.sum == "Y[0][0, 0] = 19 + 37 = 56"


@in_a_browser
def test_point_at_an_output_previews_its_sum(tab):
    point(tab, cell(tab, "Y[2]", 3))
    assert tab.sum == "Y[2][1, 1] = 91 + 133 = 224"
    point(tab, tab.find("h1")[0])
    assert tab.sum == "Y[0][0, 0] = 19 + 37 = 56"


@in_a_browser
def test_edit_a_number_with_the_mouse(tab):
    cell(tab, "X[0]", 4).click()
    (value,) = tab.find("#value")
    value.click()
    tab.press("control", "a")
    tab.press("1")
    tab.press("0")
    tab.press("enter")
    assert numbers(tab, "Y[0]") == ["74", "84", "110", "120"]
    changed = X.asnumpy().copy()
    changed[0, 1, 1] = 10
    sums = compute_sums(nd.array(changed), K3, 1, 0, 1, LIMITS)
    for o in range(3):
        shown = numbers(tab, f"Y[{o}]")
        assert shown == [format_number(number) for number in sums.output[o].flat]
    tab.press("escape")
    tab.press("escape")
    assert tab.sum == "Y[0][0, 0] = 37 + 37 = 74"


@in_a_browser
def test_edit_numbers_with_the_keyboard_alone(tab):
    while tab.focused.accessible_name != "X[0][0, 0]: 0":
        tab.press("tab")
    assert "is in 3 products" in tab.sum
    tab.press("arrow_right")
    tab.press("arrow_down")
    assert tab.focused.accessible_name == "X[0][1, 1]: 4"
    tab.press("1")
    tab.press("0")
    tab.press("enter")
    assert numbers(tab, "Y[0]")[0] == "74"
    tab.press("escape")  # back to the cell
    assert tab.focused.accessible_name == "X[0][1, 1]: 10"
    tab.press("arrow_right")
    tab.press("arrow_right")
    assert tab.focused.accessible_name == "X[1][1, 0]: 4"
    tab.press("tab")
    tab.press("enter")
    tab.press("7")
    tab.press("escape")  # takes back what isn't entered
    assert tab.focused.accessible_name == "K[0, 0][0, 0]: 0"
    tab.press("enter")
    tab.press("7")
    tab.press("tab")  # enters it, and goes on
    assert numbers(tab, "K[0, 0]")[0] == "7"
    assert tab.focused.get_attribute("id") != "value"


@in_a_browser
def test_what_is_no_number_is_refused(tab):
    cell(tab, "K[0, 1]", 3).click()
    tab.press("enter")
    tab.press("delete")
    tab.press("enter")
    assert tab.text("#notice") == "A number is expected there; it is still 4."
    assert numbers(tab, "K[0, 1]")[3] == "4" and numbers(tab, "Y[0]")[0] == "56"


@in_a_browser
def test_a_number_being_typed_goes_nowhere_else(tab):
    """Neither to what the pointer is on meanwhile, nor to another page of the history."""
    cell(tab, "X[0]", 0).click()
    tab.press("enter")
    tab.press("7")
    point(tab, cell(tab, "X[0]", 8))
    assert tab.text("#sum label") == "X[0][0, 0] = "
    assert numbers(tab, "X[0]") == [str(n) for n in range(9)]
    tab.press("enter")
    assert numbers(tab, "X[0]") == ["7", *(str(n) for n in range(1, 9))]
    tab.press("5")
    tab.run("void (location.hash = 'strides=2')")
    tab.until(lambda: tab.run("toLink()") == "strides=2,2")
    assert numbers(tab, "X[0]") == [str(n) for n in range(9)]


@in_a_browser
def test_edit_the_number_that_has_the_focus(tab):
    """Also after Escape, while the pointer is elsewhere, and while the page plays."""
    cell(tab, "X[0]", 4).click()
    tab.press("escape")
    point(tab, cell(tab, "K[0, 0]", 1))
    tab.press("9")
    tab.press("enter")
    assert numbers(tab, "X[0]")[4] == "9" and numbers(tab, "K[0, 0]")[1] == "1"
    tab.press("escape")
    tab.press("escape")
    tab.press("arrow_right")
    assert tab.focused.accessible_name == "X[0][1, 2]: 5"
    tab.press("space")
    assert tab.run("timer") is not None
    tab.press("8")
    assert tab.run("timer") is None and tab.text("#sum label") == "X[0][1, 2] = "
    tab.press("enter")
    assert numbers(tab, "X[0]")[5] == "8"


@in_a_browser
def test_numbers_that_a_field_cant_hold_are_written_in_it(browser, tmp_path):
    values = nd.array([[[np.nan, np.inf, -np.inf]]])
    tab = Tab(browser, draw.page(values, nd.ones((1, 1, 1)), tmp_path / "page.html"))
    for n, text in enumerate(["nan", "inf", "−inf"]):
        cell(tab, "X[0]", n).click()
        (value,) = tab.find("#value")
        assert (value.get_attribute("value"), value.get_attribute("placeholder")) == ("", text)
    tab.press("5")
    tab.press("enter")
    assert numbers(tab, "Y[0]") == ["nan", "inf", "5"]
    assert_quiet(tab)


@in_a_browser
def test_pointing_ends_on_the_sums_of_a_channel(tab):
    point(tab, cell(tab, "X[0]", 0))
    point(tab, tab.run("planes.part[0].cells[3]"))
    assert tab.sum == "Y[0][0, 0] = 19 + 37 = 56"


@in_a_browser
def test_a_channels_button_keeps_the_focus(tab):
    tab.run("document.querySelector('#sum [data-plane]').focus()")
    tab.press("enter")
    assert tab.sum == "Y[0][0, 0] = 19 + … = …"
    tab.press("tab")
    assert tab.focused.accessible_name == "channel 1: add it"
    tab.press("enter")
    assert tab.sum == "Y[0][0, 0] = 19 + 37 = …"


@in_a_browser
def test_step_through_a_sum(tab):
    choose(tab, "#by", "product")
    back, forward = tab.find("#back")[0], tab.find("#forward")[0]
    for _ in range(10):
        back.click()
    products = [["0×0", "1×1", "3×2", "4×3"], ["1×1", "2×2", "4×3", "5×4"]]
    spoken = [["0 times 0", "1 times 1", "3 times 2", "4 times 3"]]
    so_far = [[0, 1, 7, 19], [1, 5, 17, 37]]
    for i in (0, 1):
        for tap in range(4):
            assert tab.text("#sum mark") == products[i][tap]
            assert lines(tab)[i].endswith(f"(so far {so_far[i][tap]})")
            assert marked(tab, "now") == {
                f"X[{i}]": [WINDOW[tap]],
                f"K[0, {i}]": [tap],
                "Y[0]": [0],
            }
            assert tab.sum == f"Y[0][0, 0] = {'19' if i else '…'} + … = …"
            if not i:
                assert tab.text("#live") == spoken[0][tap]
            forward.click()
        assert tab.text("#live") == f"Channel {i} adds {so_far[i][3]}"
        assert not tab.find("#sum mark")
        if not i:
            assert marked(tab, "done") == {}
        forward.click()
    assert tab.sum == "Y[0][0, 0] = 19 + 37 = 56"
    assert tab.text("#live") == "Y[0][0, 0] is 56, the sum of channel 0: 19, channel 1: 37"
    forward.click()
    assert tab.sum == "Y[0][0, 1] = … + … = …"
    assert tab.text("#sum mark") == "1×0"


STATE = "[state.output, state.row, state.column, state.plane, state.tap]"


@in_a_browser
@pytest.mark.parametrize("link", ["", "padding=1", "K.shape=2,2,1,1", "K.shape=2,1,2,2&groups=2"])
@pytest.mark.parametrize("by", ["product", "channel", "output"])
def test_a_step_back_undoes_a_step_forwards(by, link, tab):
    found = tab.run(
        "((by, link) => {"
        " follow(link);"
        f" const states = [{STATE}];"
        " const outputs = convolution.output.length * convolution.windows.length;"
        " const count = outputs * stepsOf(0, by).length;"
        " let undone = 0;"
        " for (let n = 0; n < count; n++) {"
        f"  step(by, 1); const next = {STATE}; step(by, -1);"
        f"  undone += String({STATE}) === String(states[n]);"
        "   step(by, 1); states.push(next);"
        " }"
        " return {states, undone, count};"
        "})(...arguments)",
        by,
        link,
    )
    states, count = found["states"], found["count"]
    assert found["undone"] == count
    assert states[0] == states[-1]  # once around
    assert len({tuple(state) for state in states}) == count


FAST = "const real = setTimeout; window.pauses = []; window.setTimeout = (f, t) => {" + (
    " pauses.push(t); return real(f, t / 50); };"
)


@in_a_browser
def test_play_visits_every_output_and_pause_stops(browser, tmp_path):
    """On a clock that runs fifty times faster."""
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", dict(source=FAST))
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html"))
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    browser.execute_script(
        "window.seen = [document.querySelector('#sum .total').textContent];"
        "new MutationObserver(() => seen.push(document.querySelector('#sum .total').textContent))"
        ".observe(document.getElementById('sum'), {childList: true});"
    )
    choose(tab, "#by", "output")
    choose(tab, "#speed", "2")
    (play,) = tab.find("#play")
    play.click()
    assert play.text == "Pause"
    tab.until(lambda: tab.run("seen.length") > 14)
    play.click()
    assert play.text == "Play"
    sums = compute_sums(X, K3, 1, 0, 1, LIMITS)
    totals = [f"{total:g}" for total in sums.output.flat]
    seen = [text.split(" = ")[-1] for text in tab.run("seen")]
    assert seen[:14] == totals + totals[:2]
    assert set(tab.run("pauses")[1:]) == {750}
    seen, link = tab.run("seen.length"), tab.run("location.hash")
    assert tab.run("timer") is None and tab.run("toLink()") == link[1:].replace("%2C", ",")
    tab.press("space")  # on the button that has the focus
    assert play.text == "Pause"
    cell(tab, "Y[0]", 0).click()
    assert play.text == "Play"
    assert tab.run("timer") is None


@in_a_browser
@pytest.mark.parametrize("end", ["escape", "a setting", "a refused setting"])
def test_whatever_ends_the_playing_keeps_the_link(end, tab):
    tab.find("#play")[0].click()
    tab.until(lambda: tab.sum.startswith("Y[0][0, 1]"))
    if end == "escape":
        tab.press("escape")
    else:
        write(tab, "h", 4 if end == "a setting" else 99)
    assert tab.run("timer") is None and tab.find("#play")[0].text == "Play"
    assert tab.run("location.hash") == "#" + tab.run("toLink()")
    assert "at=0,0,1" in tab.run("location.hash")


@in_a_browser
def test_a_held_key_plays_once(tab):
    tab.press("space")
    tab.run(
        "document.body.dispatchEvent("
        "new KeyboardEvent('keydown', {key: ' ', repeat: true, bubbles: true}))"
    )
    assert tab.run("timer") is not None
    tab.press("escape")


@in_a_browser
def test_keys_work_wherever_the_focus_is(tab):
    assert tab.run("document.activeElement === document.body")
    tab.press("arrow_right")
    assert tab.sum.startswith("Y[0][0, 1]")
    tab.find("h1")[0].click()
    tab.press("arrow_down")
    assert tab.sum.startswith("Y[0][1, 1]")
    tab.press("shift", "arrow_down")
    assert tab.sum.startswith("Y[1][1, 1]")
    tab.press("shift", "arrow_up")
    tab.press("arrow_right")  # at the edge
    assert tab.sum.startswith("Y[0][1, 1]")
    tab.press("shift", "arrow_left")
    assert tab.sum == "Y[0][1, 1] = 43 + 77 = …"
    tab.press("shift", "arrow_right")
    assert tab.sum == "Y[0][1, 1] = 43 + 77 = 120"
    tab.press("space")
    assert tab.find("#play")[0].text == "Pause"
    tab.press("escape")
    assert tab.find("#play")[0].text == "Play"
    before = tab.sum
    for selector in ("#controls [name=h]", "#by"):  # which have their own use for the keys
        tab.run("document.querySelector(arguments[0]).focus()", selector)
        tab.press("arrow_left")
        tab.press("space")
        assert tab.sum == before and tab.find("#play")[0].text == "Play"
    tab.run("document.getElementById('double').focus()")
    tab.press("space")
    assert tab.text("#multiplications") == "384"
    assert tab.find("#play")[0].text == "Play"


@in_a_browser
def test_keys_in_the_grid_of_the_output(tab):
    cell(tab, "Y[0]", 0).click()
    for keys, total in [
        ("arrow_right", 72),
        ("arrow_right", 72),
        ("arrow_down", 120),
        ("arrow_left", 104),
        ("arrow_up", 56),
        ("end", 72),
        ("home", 56),
        ("control end", 120),
        ("home", 104),
        ("control home", 56),
        ("shift arrow_down", 76),
        ("shift arrow_up", 56),
    ]:
        tab.press(*keys.split())
        assert tab.sum.endswith(f" = {total}")
        assert tab.focused.text == str(total)


CONTROLS = [  # name, value, what toLink says, multiplications
    ("c_i", 3, "X.shape=3,3,3&K.shape=3,3,2,2", 144),
    ("h", 5, "X.shape=2,5,3", 192),
    ("w", 2, "X.shape=2,3,2", 48),
    ("c_o", 1, "K.shape=1,2,2,2", 32),
    ("k_h", 3, "K.shape=3,2,3,2", 72),
    ("k_w", 1, "K.shape=3,2,2,1", 72),
    ("stride_h", 2, "strides=2,1", 48),
    ("stride_w", 2, "strides=1,2", 48),
    ("pad_h", 1, "padding=1,1,0,0", 192),
    ("pad_w", 2, "padding=0,0,2,2", 288),
    ("dilation_h", 2, "dilation=2,1", 48),
    ("dilation_w", 2, "dilation=1,2", 48),
]


@in_a_browser
def test_every_control_changes_what_it_says(tab):
    for name, value, link, multiplications in CONTROLS:
        tab.run("follow('')")
        write(tab, name, value)
        assert tab.run("toLink()") == link
        assert tab.run("location.hash") == "#" + link
        assert tab.text("#multiplications") == str(multiplications)
        times = multiplications / 96
        if times != 1:
            words = f"{times:.3g} times" if times > 1 else f"1/{1 / times:.3g} of"
            assert tab.text("#ratio") == f" — {words} the 96 before"
        assert tab.text("#notice") == ""
    tab.run("follow('padding=1')")
    corner = {}
    for mode in ("zeros", "reflect", "edge", "circular"):
        choose(tab, "[name=mode]", mode)
        corner[mode] = numbers(tab, "X[0]")[0]
    assert corner == dict(zeros="0", reflect="4", edge="0", circular="8")


@in_a_browser
def test_errors_say_why_and_keep_what_is_shown(tab):
    for name, value, words in [
        ("h", 17, "At most 16 rows are drawn, with padding; these are 17."),
        ("k_w", 4, "The kernel sees 4 columns, but the input has 3 with its padding."),
        ("stride_h", 0, "whole number from 1"),
        ("pad_w", -1, "Padding is a whole number from 0."),
        ("c_o", 9, "At most 8 input and output channels"),
        ("h", "", "whole number from 1"),
        ("dilation_h", 2.5, "whole number from 1"),
    ]:
        (control,) = tab.find(f"[name={name}]")
        before = control.get_attribute("value")
        write(tab, name, value)
        assert words in tab.text("#notice")
        assert control.get_attribute("value") == before
        assert tab.run("toLink()") == "" and tab.sum == "Y[0][0, 0] = 19 + 37 = 56"
    write(tab, "c_o", 2)
    assert tab.text("#notice") == ""


@in_a_browser
def test_hidden_answers_are_shown_step_by_step(tab):
    """Neither the eye nor a screen reader gets them before; a second click shows one at once."""

    def numbers_of_y():
        return [cell(tab, "Y[0]", n).text for n in range(4)]

    def spoken():
        names = [name for role, name in tree(tab) if role in ("gridcell", "button")]
        return [name for name in names if "56" in name or "19" in name or "37" in name]

    (box,) = tab.find("#hide")
    box.click()
    assert numbers_of_y() == ["?"] * 4
    assert tab.text("#sum .total") == "Y[0][0, 0] = … + … = …"
    assert all(line.endswith(" = …") for line in lines(tab))
    assert "X[0]" in marked(tab) and spoken() == []
    assert tab.text("#live") == "Y[0][0, 0] is hidden"
    for total in ("19 + … = …", "19 + 37 = …", "19 + 37 = 56"):
        assert numbers_of_y()[0] == "?"
        tab.find("#forward")[0].click()
        assert tab.text("#sum .total") == f"Y[0][0, 0] = {total}"
    assert numbers_of_y() == ["56", "?", "?", "?"]
    cell(tab, "Y[0]", 3).click()
    assert tab.text("#sum .total") == "Y[0][1, 1] = … + … = …"
    cell(tab, "Y[0]", 3).click()
    assert numbers_of_y() == ["56", "?", "?", "120"]
    assert tab.run("location.hash") == "#hide=1&at=0,1,1"
    tab.find("#double")[0].click()  # other sums: hidden again
    assert numbers_of_y() == ["?"] * 4
    tab.find("#hide")[0].click()
    assert tab.text("#sum .total") == "Y[0][1, 1] = 43 + 77 + 119 + 169 = 408"
    assert "?" not in numbers_of_y()


@in_a_browser
def test_answers_stay_hidden_after_an_edit_and_in_other_scenes(browser, tmp_path):
    given = {"an image": (random(2, 4, 4), {"one": K3, "two": K3 + 1})}
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html", images=given), "hide=1")
    for _ in range(2):
        cell(tab, "Y[0]", 0).click()
    assert numbers(tab, "Y[0]") == ["56", "?", "?", "?"]
    cell(tab, "X[0]", 0).click()
    tab.press("7")
    tab.press("enter")  # other sums: hidden again
    assert numbers(tab, "Y[0]") == ["?"] * 4
    assert numbers(tab, "X[0]")[0] == "7"
    for selector, n in [("#scenes", 1), ("#kernels", 1), ("#scenes", 0)]:
        tab.find(selector + " label")[n].click()
        assert tab.find("#hide")[0].is_selected()
        assert set(numbers(tab, "Y[0]")) == {"?"}
        assert tab.sum.endswith("…")


@in_a_browser
def test_the_cost_says_which_factors_changed(tab):
    tab.find("#double")[0].click()
    changes = tab.run("[...document.querySelectorAll('.change')].map(node => node.textContent)")
    assert changes == ["×2", "×2"]
    assert "4 times the 96 before" in tab.text("#cost")
    write(tab, "c_o", 4)
    changes = tab.run("[...document.querySelectorAll('.change')].map(node => node.textContent)")
    assert changes == ["was 6"]


@in_a_browser
@pytest.mark.parametrize("link", ["groups=4&K.shape=4,1,2,2", "groups=2&K.shape=4,2,2,2"])
def test_kernels_stay_where_they_are_while_others_are_pointed_at(link, tab):
    tab.run(f"void follow('X.shape=4,3,3&{link}')")
    places = "JSON.stringify(planes.K.flat().map(plane => plane.body.getBoundingClientRect().left))"
    before = tab.run(places)
    for o in range(4):
        tab.run(f"void point(planes.K[{o}][0], 0)")
        assert tab.run(places) == before
        tab.run(f"void select({o}, 0)")
        assert tab.run(places) == before


@in_a_browser
def test_groups_up_to_depthwise(tab):
    write(tab, "c_o", 4)
    write(tab, "c_i", 4)
    options = [option.text for option in tab.find("#groups option")]
    assert options == ["1", "2", "4 (depthwise)"]
    choose(tab, "#groups", "2")
    places = tab.run(
        "[...document.querySelectorAll('.place')].map(place =>"
        " place.textContent === '·' ? null : place.querySelector('figcaption').textContent)"
    )
    assert places == (
        ["K[0, 0]", "K[0, 1]", None, None, "K[1, 0]", "K[1, 1]", None, None]
        + [None, None, "K[2, 0]", "K[2, 1]", None, None, "K[3, 0]", "K[3, 1]"]
    )
    under = tab.run(  # each kernel stands under its input channel
        "planes.K.map((row, o) => row.map((plane, j) => Math.abs("
        " plane.body.getBoundingClientRect().left - planes.X[convolution.inputOf(o, j)].body"
        ".getBoundingClientRect().left)))"
    )
    assert np.max(under) < 8
    cell(tab, "Y[2]", 0).click()
    assert set(marked(tab)) == {"X[2]", "X[3]", "K[2, 0]", "K[2, 1]", "Y[2]"}
    assert lines(tab)[0].startswith("X[2] ∗ K[2, 0]: ")
    choose(tab, "#groups", "4 (depthwise)")
    write(tab, "c_o", 3)  # both follow
    assert tab.run("[state.X.shape[0], state.K.shape, state.settings.groups]") == [
        3,
        [3, 1, 2, 2],
        3,
    ]
    assert "input channel of a group" in tab.text("#factors")


@in_a_browser
def test_doubling_both_channels_quadruples_the_work(tab):
    tab.find("#double")[0].click()
    assert tab.text("#multiplications") == "384"
    assert tab.text("#ratio") == " — 4 times the 96 before"
    assert tab.run("[state.X.shape, state.K.shape]") == [[4, 3, 3], [6, 4, 2, 2]]
    tab.find("#double")[0].click()
    assert "At most 8 input and output channels" in tab.text("#notice")
    assert tab.text("#multiplications") == "384"


@in_a_browser
def test_examples(tab):
    seen = {}
    for button in tab.find("#examples button"):
        button.click()
        assert tab.text("#notice") == ""
        seen[button.text] = tab.run("[state.X.shape, state.K.shape, convolution.output.flat()]")
        dense = tab.find("#dense")[0].is_displayed()
        assert dense == (button.text == "1×1")
        if dense:
            matrices = tab.run(
                "[...document.querySelectorAll('#product table')].map(table =>"
                " [...table.rows].map(row => [...row.cells].map(cell => Number(cell.textContent))))"
            )
            k, x, y = map(np.array, matrices)
            assert np.array_equal(k @ x, y)
            assert tab.text("#product figcaption") == "K (2×3)"
    assert len(seen) == 7
    assert seen["the chapter's"][2][:4] == [56, 72, 104, 120]
    assert seen["depthwise"][1] == [4, 1, 2, 2]


# The link

SNAPSHOT = (
    "JSON.stringify([state.scene, state.kernel, state.X.shape, state.X.data.map(String),"
    " state.K.shape, state.K.data.map(String), state.settings, state.output, state.row,"
    " state.column])"
)


def some_state(tab):
    """Bring the page into a random state; return its link and a snapshot."""
    while True:
        x_shape, k_shape, settings = some_settings()
        if is_drawn(x_shape, k_shape, settings):
            break
    edits = [
        (name, int(np.random.randint(np.prod(shape))), value)
        for name, shape in (("X", x_shape), ("K", k_shape))
        for value in np.random.choice([0.1, -7, 1e21, 5e-324, 0], np.random.randint(3)).tolist()
    ]
    return tab.run(
        "((inputShape, kernelShape, settings, edits, at) => {"
        " change({inputShape, kernelShape, ...settings});"
        " for (const [name, n, value] of edits) state[name].data[n] = value;"
        " state.output = Math.floor(at * kernelShape[0]);"
        " state.row = Math.floor(at * outputSize(inputShape, kernelShape, state.settings)[0]);"
        f" return [toLink(), {SNAPSHOT}];"
        "})(...arguments)",
        x_shape,
        k_shape,
        settings,
        edits,
        np.random.uniform(),
    )


@in_a_browser
def test_the_link_holds_the_state(browser, tmp_path):
    """The chapter's page and one of other numbers; one link in twenty is opened anew."""
    for x in (X, random(2, 3, 3)):
        page = draw.page(x, K3, tmp_path / "page.html")
        tab = Tab(browser, page)
        for n in range(40):
            link, snapshot = some_state(tab)
            if n % 20:
                assert tab.run("fromLink('') || fromLink(arguments[0])", link) is None
            else:
                tab = Tab(browser, page, link)
                assert tab.text("#notice") == ""
            assert tab.run(SNAPSHOT) == snapshot, link
            assert tab.run("toLink()") == link


WRONG = [
    "nonsense",
    "X.shape=2,3",
    "X.shape=2,3,99999999",
    "X.shape=2,3,a",
    "K.shape=1000000000,2,2,2",
    "strides=",
    "strides=1,2,3",
    "strides=1e9,0",
    "padding=1,2,3",
    "dilation=9",
    "groups=2.5",
    "groups=2",
    "mode=mirror",
    "X=1,2,3",
    "X=" + "a," * 17 + "a",
    "K=" + "," * 23,
    "at=0,0",
    "at=3,0,0",
    "at=0,0,NaN",
    "at=,,",
    "at=0,0,0,0",
    "hide=2",
    "scene=",
    "padding=,",
    "scene=1",
    "scene=-1",
    "kernel=1",
    "kernel=toString",
    "__proto__=1",
    "%E0%A4%A",
]


@in_a_browser
def test_a_wrong_link_says_so_and_shows_the_pages_own(tab):
    for link in WRONG:
        tab.run("follow('padding=1')")
        tab.run("follow(arguments[0])", link)
        assert tab.text("#notice") != "", link
        assert tab.run("toLink()") == "", link
        assert tab.sum == "Y[0][0, 0] = 19 + 37 = 56"


@in_a_browser
def test_back_and_forward_follow_the_address(tab):
    tab.run("void (location.hash = 'padding=1')")
    tab.until(lambda: tab.sum.startswith("Y[0][0, 0] = 0 + 4"))
    tab.run("void (location.hash = 'strides=2')")
    tab.until(lambda: tab.sum.startswith("Y[0][0, 0] = 19 + 37"))
    tab.browser.back()
    tab.until(lambda: tab.sum.startswith("Y[0][0, 0] = 0 + 4"))
    tab.browser.forward()
    tab.until(lambda: tab.sum.startswith("Y[0][0, 0] = 19 + 37"))


@in_a_browser
def test_the_address_changes_only_with_the_state(tab):
    """Browsers refuse hundreds of changes in a row."""
    tab.run("void (window.changes = 0, history.replaceState = () => { changes++; })")
    for position in range(4):
        point(tab, cell(tab, "X[0]", position))
    assert tab.run("changes") == 0
    tab.press("arrow_right")
    assert tab.run("changes") == 1


# Images


@in_a_browser
def test_images_and_their_kernels(browser, tmp_path):
    given = images()
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html", images=given))
    scenes = [label.text for label in tab.find("#scenes label")]
    assert scenes == ["numbers", *given]
    for scene, (x, kernels) in enumerate(given.values(), 1):
        tab.find("#scenes label")[scene].click()
        choices = [label.text for label in tab.find("#kernels label") if label.is_displayed()]
        assert choices == (list(kernels) if len(kernels) > 1 else [])
        for n, (kernel, k) in enumerate(kernels.items()):
            if len(kernels) > 1:
                tab.find("#kernels label")[n].click()
                assert tab.focused.accessible_name == kernel
            pad = k.shape[2] // 2
            expected = oracle.convolve(x.asnumpy()[None], k.asnumpy(), None, (1, 1), (pad, pad))[0]
            found = np.reshape(tab.run("convolution.output"), expected.shape)
            assert np.allclose(found, expected, rtol=1e-9, atol=1e-9)
            assert tab.run("planes.X.every(plane => plane.isPicture)")
            assert tab.find("[name=c_i]")[0].get_attribute("disabled")
            o = len(k) - 1
            canvas = tab.run(f"planes.Y[{o}].canvas")
            point(tab, canvas)  # at its middle
            place = tuple(tab.run("pointed && convolution.outputIndex(pointed.position)"))
            assert np.max(np.abs(np.array(place) - np.array(expected.shape[1:]) / 2)) <= 1
            assert tab.sum.startswith(f"Y[{o}][{place[0]}, {place[1]}] ")
            assert tab.sum.endswith(" " + format_number(expected[o][place]))
    tab.find("#scenes label")[0].click()
    assert tab.sum == "Y[0][0, 0] = 19 + 37 = 56"
    assert_quiet(tab)


# At random

LOOK = """
const texts = list => list.map(plane => plane.cells.map(cell => cell.textContent));
const names = list => list.map(plane => plane.cells.map(cell => cell.getAttribute("aria-label")));
const look = {
  X: {shape: state.X.shape, data: state.X.data.map(String)},
  K: {shape: state.K.shape, data: state.K.data.map(String)},
  settings: state.settings, hide: state.hide, box: hideBox.checked, digits: precision,
  output: convolution.output.flat().map(String), numbers: texts(planes.Y), names: names(planes.Y),
  hidden: planes.Y.map((_, o) => convolution.windows.map((_, n) =>
    isHidden(o, ...convolution.outputIndex(n)))),
  parts: texts(planes.part), partsOf: planes.K.findIndex(row =>
    row[0].figure.nextSibling === planes.part[0].figure),
  dense: document.getElementById("dense").hidden ? null
    : [...document.querySelectorAll("#product figure:last-child td")].map(td => td.textContent),
  at: [state.output, state.row, state.column], pointed: pointed !== null,
  sum: document.querySelector("#sum .total").lastChild.textContent,
  playing: timer !== null, button: playButton.textContent, address: location.hash.slice(1),
  link: toLink(), tooWide: document.documentElement.scrollWidth > innerWidth,
  stops: ["X", "K", "Y"].map(id => document.querySelectorAll(`#${id} [tabindex="0"]`).length),
};
const [before, shown] = [{...state}, [...disclosed]], snapshot = () => SNAPSHOT;
const was = snapshot();
look.wrong = fromLink(look.link);
look.kept = snapshot() === was;
Object.assign(state, before);
shown.forEach(key => disclosed.add(key));
return look;
""".replace("SNAPSHOT", SNAPSHOT)


def assert_consistent(look):
    """That what a page shows is what its arrays and settings give, and nothing that it hides."""
    x, k = (
        np.array([float(value) for value in look[name]["data"]]).reshape(look[name]["shape"])
        for name in "XK"
    )
    settings = look["settings"]
    padded = np.pad(x, [(0, 0), *settings["padding"]], mode=NUMPY_MODE[settings["mode"]])
    across = (None, settings["strides"], (0, 0), settings["dilation"], settings["groups"])
    with np.errstate(invalid="ignore"):
        y = oracle.convolve(padded[None], k, *across)[0]
    output = np.array([float(value) for value in look["output"]]).reshape(y.shape)
    assert np.allclose(output, y, rtol=1e-9, atol=1e-9, equal_nan=True)
    hidden = np.array(look["hidden"]).reshape(y.shape)
    assert look["box"] == look["hide"] >= hidden.any()
    for o, names in enumerate(look["names"]):  # none in a picture
        for number, name, text, secret in zip(y[o].flat, names, look["numbers"][o], hidden[o].flat):
            assert name.endswith(": " + ("hidden" if secret else format_number(number)))
            if secret or look["digits"] == 3:
                assert text == ("?" if secret else format_number(number))
    for part in look["parts"]:
        secrets = hidden[look["partsOf"]].ravel()
        assert [text == "?" for text in part] == list(secrets[: len(part)])
    (o, *place), sizes = look["at"], y.shape
    assert all(0 <= index < size for index, size in zip(look["at"], sizes))
    if look["dense"] and not look["pointed"]:
        expected = zip(y[(slice(None), *place)], hidden[(slice(None), *place)])
        assert look["dense"] == ["?" if secret else format_number(n) for n, secret in expected]
    if not look["pointed"]:
        assert look["sum"] in ("…", format_number(y[tuple(look["at"])]))
        assert look["sum"] == "…" or not hidden[tuple(look["at"])]
    assert (look["wrong"], look["kept"]) == (None, True)
    assert look["playing"] or look["address"] == look["link"]
    assert look["button"] == ("Pause" if look["playing"] else "Play")
    assert look["stops"] == [1, 1, 1] and not look["tooWide"]


KEYS = ["arrow_left", "arrow_right", "arrow_up", "arrow_down", "shift arrow_left"]
KEYS += ["shift arrow_right", "shift arrow_up", "shift arrow_down", "tab", "shift tab", "space"]
KEYS += ["space", "enter", "enter", "escape", "escape", "control end", "7", "7", "-", "delete"]
LINKS = ["", "padding=1&hide=1", "X.shape=3,3,3&K.shape=2,3,1,1", "scene=1", "at=9,9,9", "X=1,2"]
LINKS += ["X.shape=4,6,5&K.shape=4,2,3,2&groups=2&padding=1,0,2,1&mode=edge&at=3,1,2"]
LINKS += ["X.shape=1,3,2&K.shape=1,1,2,2&X=NaN,1,Infinity,-Infinity,1e300,5e-324&K=1e300,0,-1,2"]


DEEDS = ["press"] * 6 + ["click", "tick"] * 3 + ["point", "control"] * 2 + ["by", "resize", "link"]


def act_at_random(tab):
    """Do one of the things that a reader can do; return what."""
    pick = lambda values: values[np.random.randint(len(values))]  # noqa: E731
    kind = pick(DEEDS)
    if kind in ("click", "point"):
        selector = pick(["#X td", "#K td", "#Y td", "#Y td", ".part td", ".picture", "button"])
        selector = pick([selector, selector, "#hide, #value, .channel, #scenes input, summary"])
        node = tab.run(
            "(nodes => { const node = nodes[Math.floor(arguments[1] * nodes.length)];"
            " if (node) node.scrollIntoView({block: 'center', inline: 'center'}); return node;"
            "})([...document.querySelectorAll(arguments[0])].filter(node => node.offsetWidth))",
            selector,
            np.random.uniform(),
        )
        if node is None:
            return selector
        clicks = pick([1, 1, 2]) if kind == "click" else 0
        click(tab, node, clicks)
        return clicks, selector
    if kind == "press":
        keys = pick(KEYS)
        tab.press(*keys.split())
        return keys
    if kind == "control":
        name = pick(["c_i", "h", "w", "c_o", "k_h", "k_w", "stride_h", "pad_h", "groups", "mode"])
        value = pick([0, 1, 1, 2, 2, 3, 4, 5, 9])
        tab.run(
            "void (control => { if (control.disabled) return;"
            " if (control.options) control.selectedIndex = arguments[1] % control.options.length;"
            " else control.value = arguments[1];"
            " control.dispatchEvent(new Event('change', {bubbles: true}));"
            "})(document.querySelector(`#controls [name=${arguments[0]}]`))",
            name,
            value,
        )
        return name, value
    if kind == "by":
        return tab.run("by.value = arguments[0]", pick(["product", "channel", "output"]))
    if kind == "resize":
        return tab.screen(*pick(SIZES))
    if kind == "link":
        link = pick(LINKS)
        tab.run("void (location.hash = arguments[0])", link)
        tab.until(lambda: tab.run("location.hash.slice(1) === toLink()"))
        return link
    return tab.run("timer && void tick()")


def click(tab, node, times):
    """Go there at once, and click so many times."""
    from selenium.webdriver.common.action_chains import ActionChains

    chain = ActionChains(tab.browser, duration=0).move_to_element(node)
    for _ in range(times):
        chain.click()
    chain.perform()


@in_a_browser
def test_whatever_a_reader_does_the_page_stays_right(browser, tmp_path):
    """Its clock stands still: the playing goes on when it is told to."""
    image = {"an image": (integers((2, 30, 30)), {"one": integers((2, 2, 3, 3)), "all": K3})}
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html", images=image))
    tab.run("void (window.setTimeout = () => 1)")
    done = []
    try:
        for _ in range(300):
            done.append(act_at_random(tab))
            assert_consistent(browser.execute_script(LOOK))
            assert browser.get_log("browser") == []
    except AssertionError as error:
        raise AssertionError(f"{error}\n\nafter {done[-12:]}") from error
    assert_quiet(tab)


# Screens


HIDDEN = """
const inside = (node, box) => {
  const {left, right, top, bottom} = node.getBoundingClientRect();
  return left >= box.left - 1 && right <= box.right + 1
    && top >= box.top - 1 && bottom <= box.bottom + 1;
};
const dock = document.getElementById("dock").getBoundingClientRect();
const stageBox = stage.getBoundingClientRect();
const above = {left: 0, top: 0, right: innerWidth, bottom: dock.top};
const lit = [...stage.querySelectorAll(
  ".plane:not(.part) .lit, .plane:not(.part) .now, .place.chosen")].filter(node => !node.hidden);
const said = ["#sum .total", "#sum .line .name"].map(name => document.querySelector(name));
const hidden = lit.filter(node => !inside(node, above) || !inside(node, stageBox));
return [lit.length, [...hidden, ...said.filter(node => !inside(node, dock)
  || !inside(node, {...above, bottom: innerHeight}))].map(node => node.outerHTML)];
"""
SIZES = [(1280, 900), (1024, 768), (390, 844), (320, 740), (640, 450)]  # the last: 200 %
SCREENS = {
    "2>3 3x3": lambda path: draw.page(X, K3, path),
    "3>4 6x6 padded floats": lambda path: draw.page(
        random(3, 6, 6), random(4, 3, 3, 3), path, 1, 1
    ),
    "8>8 16x16": lambda path: draw.page(integers((8, 16, 16)), integers((8, 8, 3, 3)), path),
    "groups": lambda path: draw.page(integers((6, 4, 4)), integers((4, 3, 2, 2)), path, groups=2),
    "1x1": lambda path: draw.page(integers((3, 3, 3)), integers((2, 3, 1, 1)), path),
    "large floats": lambda path: draw.page(
        1e5 * random(8, 6, 6), random(8, 8, 3, 3), path, 1, 1, title="W" * 99
    ),
    "images": lambda path: draw.page(X, K3, path, images=images()),
}


@in_a_browser
@pytest.mark.parametrize("name", SCREENS)
def test_what_is_lit_and_its_sum_are_seen_together(name, browser, tmp_path):
    """In windows of every size; 16 kernels below each other are more than a small one shows."""
    page = SCREENS[name](tmp_path / "page.html")
    for scene in (1, 2) if name == "images" else (0,):
        for size in SIZES:
            if scene == 2 and size in [(320, 740), (640, 450)]:
                continue
            tab = Tab(browser, page, f"scene={scene}" if scene else "", size)
            tab.run("planes.Y[0].focusable(0).focus({preventScroll: true})")
            for keys in [["control", "home"], ["control", "end"]]:
                if keys[1] == "end":
                    for _ in range(tab.run("convolution.outChannels - 1")):
                        tab.press("shift", "arrow_down")
                tab.press(*keys)
                count, hidden = browser.execute_script(HIDDEN)
                assert count > 3 and hidden == [], (size, keys)
            assert tab.run("document.documentElement.scrollWidth <= innerWidth"), size
            assert tab.run("document.getElementById('dock').scrollWidth <= innerWidth"), size


@in_a_browser
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_a_tall_image_is_seen_whole(size, browser, tmp_path):
    given = {"a column": (random(2, 250, 4), {"edges": random(2, 2, 3, 3)})}
    page = draw.page(X, K3, tmp_path / "page.html", images=given)
    tab = Tab(browser, page, "scene=1&at=1,249,3", size)
    count, hidden = browser.execute_script(HIDDEN)
    assert count > 3 and hidden == []
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")


@in_a_browser
def test_numbers_are_shown_where_they_are_readable(browser, tmp_path):
    page = SCREENS["3>4 6x6 padded floats"](tmp_path / "page.html")
    tab = Tab(browser, page)
    assert "tiny" not in tab.run("stage.className")
    shown = tab.run("planes.Y[3].cells.map(cell => cell.textContent)")
    exact = tab.run("convolution.output[3]")
    for text, number in zip(shown, exact):
        assert abs(float(text.replace("−", "-")) - number) <= 0.05001 * abs(number)
    assert tab.text("#note").startswith("Rounded to two digits")
    names = tab.run("planes.Y[3].cells.map(cell => cell.getAttribute('aria-label'))")
    assert [name.split(": ")[1] for name in names] == [format_number(n) for n in exact]


# For everybody


def tree(tab):
    """The accessibility tree's nodes that aren't ignored: roles and names."""
    nodes = tab.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]


@in_a_browser
def test_what_a_screen_reader_is_told(tab):
    nodes = tree(tab)
    kernels = [(o, i) for o in range(3) for i in range(2)]
    assert sorted(name for role, name in nodes if role == "grid") == sorted(
        [f"Input channel {i}, X[{i}]" for i in range(2)]
        + [f"Kernel K[{o}, {i}]: output channel {o}, input channel {i}" for o, i in kernels]
        + [f"Sums of the products of X[{i}] and K[0, {i}]" for i in range(2)]
        + [f"Output channel {o}, Y[{o}]" for o in range(3)]
    )
    cells = [name for role, name in nodes if role == "gridcell"]
    assert {"X[1][2, 0]: 7", "K[2, 1][0, 1]: 4", "Y[0][1, 1]: 120"} <= set(cells)
    named = {"button", "spinbutton", "combobox", "radio", "DisclosureTriangle", "region"}
    assert [node for node in nodes if node[0] in named and not node[1]] == []
    controls = {name for role, name in nodes if role in ("spinbutton", "combobox")}
    assert {
        "input channels, c_i",
        "stride in rows",
        "padding in columns",
        "padding mode",
        "groups",
        "step by",
        "speed",
    } <= controls
    assert ("group", "Examples") in nodes
    levels = tab.run("[...document.querySelectorAll('h1, h2, h3')].map(node => node.tagName)")
    assert levels[0] == "H1" and set(levels[1:]) == {"H2"}
    assert tab.run("document.documentElement.lang") == "en"
    assert tab.find("#live")[0].get_attribute("aria-live") == "polite"
    assert tab.text("#live") == "Y[0][0, 0] is 56, the sum of channel 0: 19, channel 1: 37"
    tab.press("shift", "arrow_left")
    assert tab.text("#live") == "Channel 1 adds 37"
    cell(tab, "K[1, 0]", 2).click()
    assert tab.text("#live").startswith(
        "K[1, 0][1, 0] is 3; it goes from input channel 0 to output channel 1."
    )
    tab.run("follow('padding=1&mode=edge')")
    assert ("gridcell", "padding, a copy of X[0][0, 0]: 0") in tree(tab)
    tab.run("follow('padding=1')")
    assert ("gridcell", "padding: 0") in tree(tab)


@in_a_browser
def test_tab_reaches_everything_in_the_order_it_is_read(browser, tmp_path):
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html", images=images()))
    stops, outlines = [], []
    for _ in range(60):
        tab.press("tab")
        if tab.run("document.activeElement === document.body"):
            break
        stops.append(
            tab.run(
                "(node => node.closest('#X, #K, #Y, #examples, #controls, #scenes, #player, #sum')"
                " || node)(document.activeElement).id"
            )
        )
        outlines.append(
            tab.run(
                "(style => [style.outlineStyle, parseFloat(style.outlineWidth)])"
                "(getComputedStyle(document.activeElement))"
            )
        )
    parts = [name for n, name in enumerate(stops) if name and name != stops[n - 1]]
    assert parts == ["examples", "controls", "scenes", "X", "K", "Y", "player", "sum"]
    assert [stops.count(name) for name in ("examples", "scenes", "X", "K", "Y")] == [7, 1, 1, 1, 1]
    assert stops.count("controls") == 15 and stops.count("player") == 6
    for style, width in outlines:
        assert style != "none" and width >= 2


def contrast(one, other):
    """The contrast of two colors as CSS writes them, rgb(r, g, b)."""
    rgb = [[int(part) / 255 for part in re.findall(r"\d+", color)] for color in (one, other)]
    dark, light = sorted(map(luminance, rgb))
    return (light + 0.05) / (dark + 0.05)


TEXTS = """
const paperOf = node => {
  for (; node; node = node.parentElement) {
    const color = getComputedStyle(node).backgroundColor;
    if (color !== "rgba(0, 0, 0, 0)") return color;
  }
};
return [...document.body.querySelectorAll("*")].filter(node => node.getClientRects().length
  && [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim())
  && !node.disabled && !node.closest("script, .hidden, :disabled, .tiny td")).map(node => [
    node.tagName + "." + node.className, getComputedStyle(node).color, paperOf(node)]);
"""
LINES = """
const page = getComputedStyle(document.body).backgroundColor;
const style = selector => getComputedStyle(document.querySelector(selector));
const shadow = selector => style(selector).boxShadow.match(/rgba?\\([^)]*\\)/)[0];
return [
  ...["#Y td:not(.lit)", "#X td.padding:not(.lit)", "button", "#play", "input", "select"].map(
    name => [name, style(name).borderTopColor, page]),
  ...["#X td.lit", "#Y td.now", "#X td.done"].map(
    name => [name, shadow(name), style(name).backgroundColor]),
  [".place.chosen", shadow(".place.chosen"), page],
];
"""


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_color_schemes_are_readable(scheme, browser, tmp_path):
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html", padding=1))
    tab.prefer(scheme, "reduce")
    page = tab.run("getComputedStyle(document.body).backgroundColor")
    assert (contrast(page, "rgb(0, 0, 0)") > 15) == (scheme == "light")
    choose(tab, "#by", "product")
    for _ in range(3):
        tab.find("#back")[0].click()  # the second channel's second to last product
    texts = browser.execute_script(TEXTS)
    names = {name for name, _, _ in texts}
    assert {"TD.", "TD.padding", "TD.lit", "TD.lit now", "MARK.product", "BUTTON."} <= names
    tab.find("#examples button")[-1].click()  # the fully connected layer
    cell(tab, "X[0]", 0).click()
    texts += browser.execute_script(TEXTS)
    for name, ink, paper in texts:
        assert contrast(ink, paper) >= 4.5, (name, ink, paper)
    tab.run("follow('padding=1')")
    for _ in range(3):
        tab.find("#back")[0].click()
    for name, line, paper in browser.execute_script(LINES):
        assert contrast(line, paper) >= 3, (name, line, paper)


@in_a_browser
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_controls_are_large_enough_to_hit(size, browser, tmp_path):
    """At least 24 x 24 pixels, with their labels."""
    page = draw.page(X, K3, tmp_path / "page.html", images=images())
    tab = Tab(browser, page, "scene=1", size)
    tab.run("void (document.getElementById('settings').open = true)")
    sizes = tab.run(
        "[...document.querySelectorAll('button, select, input, summary')].map(node =>"
        " node.matches('label > input') ? node.parentElement : node).filter(node =>"
        " node.getClientRects().length).map(node => [node.outerHTML,"
        " node.getBoundingClientRect().width, node.getBoundingClientRect().height])"
    )
    assert len(sizes) > 30
    for name, width, height in sizes:
        assert width >= 24 and height >= 24, (name, width, height)


@in_a_browser
def test_a_long_sum_scrolls_with_the_keyboard(browser, tmp_path):
    page = draw.page(random(8, 6, 6), random(8, 8, 3, 3), tmp_path / "page.html")
    tab = Tab(browser, page, size=(390, 844))
    while "lines" not in (tab.focused.get_attribute("class") or ""):
        tab.press("tab")
    assert tab.focused.accessible_name == "Products"
    tab.press("page_down")
    tab.until(lambda: tab.run("document.querySelector('.lines').scrollTop") > 0)


@in_a_browser
def test_reduced_motion_is_honored(tab):
    first = cell(tab, "Y[0]", 0)
    assert first.value_of_css_property("transition-duration") == "0.15s"
    tab.prefer(motion="reduce")
    assert first.value_of_css_property("transition-duration") == "0s"


@in_a_browser
def test_a_frame_without_an_address_shows_the_page(browser, tmp_path):
    """As in a notebook."""
    made = draw.page(X, K3)
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><title>frame</title>{made._repr_html_()}", encoding="utf-8")
    browser.get_log("browser")
    browser.get(path.as_uri())
    browser.switch_to.frame(browser.find_elements("tag name", "iframe")[0])
    try:
        for position, total in [(0, "56"), (3, "120")]:
            browser.find_elements("css selector", "#Y td")[position].click()
            (text,) = browser.find_elements("css selector", "#sum .total")
            assert text.text.endswith(" = " + total)
    finally:
        browser.switch_to.default_content()
    assert browser.get_log("browser") == []


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

"""The page: what it holds, compared with the oracle, and how it behaves in a real browser."""

import json
import re
import shutil
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import oracle
from helpers import K3, K, X, evaluated, integers, labels, luminance, value
from mxconv import draw

import numpy as np
import pytest
from mxnet import nd

ROOT = Path(__file__).resolve().parents[1]
CASES = [  # shapes of X and K, strides, padding, dilation
    ((2, 3, 3), (2, 2, 2), (1, 1), (0, 0), (1, 1)),
    ((1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1)),
    ((3, 5, 5), (2, 3, 3, 3), (2, 2), (1, 1), (1, 1)),
    ((2, 4, 6), (4, 2, 2, 3), (2, 1), (0, 2), (1, 1)),
    ((8, 3, 2), (8, 8, 1, 1), (1, 1), (1, 0), (1, 1)),
    ((2, 9, 8), (3, 2, 3, 2), (1, 2), (2, 1), (3, 2)),
    ((1, 16, 16), (1, 10, 10), (1, 1), (0, 0), (1, 1)),
]


class Page(HTMLParser):
    """A page's text by the tag or the id that it stands in, its tags, and the data it shows."""

    def __init__(self, path):
        super().__init__()
        self.text, self.tags, self.inside = {}, [], None
        self.feed(path.read_text(encoding="utf-8"))
        self.data = json.loads(self.text["data"])

    def handle_starttag(self, tag, attributes):
        self.inside = dict(attributes).get("id", tag)
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.text[self.inside] = self.text.get(self.inside, "") + text


def numbers(plane):
    return np.array([[value(text) for text in row] for row in plane["rows"]])


def test_the_chapters_arrays(tmp_path):
    path = draw.page(X, K3, tmp_path / "page.html")
    assert path == tmp_path / "page.html"
    data = Page(path).data
    assert [plane["name"] for plane in data["inputs"]] == ["X[1]", "X[0]"]
    assert data["inputs"][1]["rows"] == [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8"]]
    assert data["windows"] == [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]
    assert data["border"] == []
    first, second, third = data["outputs"]
    assert first["sums"][0] == "(1×1+2×2+4×3+5×4)+(0×0+1×1+3×2+4×3) = 56"
    assert second["sums"][1] == "(2×2+3×3+5×4+6×5)+(1×1+2×2+4×3+5×4) = 100"
    assert third["rows"] == [["96", "128"], ["192", "224"]]
    assert [plane["name"] for plane in third["kernels"]] == ["K[2, 1]", "K[2, 0]"]
    assert third["kernels"][1]["rows"] == [["2", "3"], ["4", "5"]]


@pytest.mark.parametrize("case", CASES, ids=labels("X, K, strides, padding, dilation", CASES))
def test_what_the_page_holds_is_the_oracles(case, tmp_path):
    x_shape, k_shape, strides, padding, dilation = case
    x, k = integers(x_shape, most=9), integers(k_shape, most=9)
    data = Page(draw.page(x, k, tmp_path / "page.html", strides, padding, dilation)).data
    x, k = x.asnumpy(), k.asnumpy().reshape((-1,) + k_shape[-3:])
    padded = np.pad(x, [(0, 0)] + [(p, p) for p in padding])
    inside = np.pad(np.ones(x.shape[1:]), [(p, p) for p in padding])
    y = oracle.convolve(x[None], k, None, strides, padding, dilation)[0]
    seen = oracle.windows(x[None], k.shape[2:], strides, padding, dilation)[0]
    assert np.array_equal([numbers(plane) for plane in data["inputs"]], padded[::-1])
    assert data["border"] == list(np.flatnonzero(inside == 0))
    assert np.array_equal([numbers(plane) for plane in data["outputs"]], y)
    for o, plane in enumerate(data["outputs"]):
        assert np.array_equal([numbers(kernel) for kernel in plane["kernels"]], k[o, ::-1])
        assert [evaluated(text) for text in plane["sums"]] == [(v, v) for v in y[o].flat]
    for element, window in enumerate(data["windows"]):
        i, j = np.unravel_index(element, y.shape[1:])
        for c in range(len(x)):
            assert np.array_equal(padded[c].flat[window], seen[c, i, j].flat)
            terms = [f"{a:g}×{b:g}" for a, b in zip(seen[c, i, j].flat, k[-1, c].flat)]
            terms = re.sub(r"-\d", lambda sign: f"(−{sign[0][1]})", "+".join(terms))
            assert terms in data["outputs"][-1]["sums"][element]


def test_the_page_is_one_file_and_calls_nothing(tmp_path):
    page = Page(draw.page(X, K3, tmp_path / "page.html"))
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert not [tag for tag, _ in page.tags if tag in ("link", "img", "iframe", "base", "object")]
    assert not [given for _, given in page.tags if {"src", "href", "action"} & set(given)]
    policies = [given["content"] for _, given in page.tags if "http-equiv" in given]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"]
    for call in ("url(", "@import", "fetch(", "XMLHttpRequest", "http:", "https:"):
        assert call not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_title_is_text(tmp_path):
    title = '</title><script>alert(1)</script> $data & "é"'
    page = Page(draw.page(X, K, tmp_path / "page.html", title=title))
    assert page.text["title"].strip() == page.text["h1"].strip() == title
    assert [tag for tag, _ in page.tags].count("script") == 2


def test_the_summary_says_what_was_asked_for(tmp_path):
    page = Page(draw.page(X, K3, tmp_path / "page.html"))
    assert page.text["summary"].strip() == "X (2, 3, 3) ∗ K (3, 2, 2, 2) = Y (3, 2, 2)"
    page = Page(draw.page(X, K, tmp_path / "page.html", (1, 2), 1))
    assert page.text["summary"].strip() == (
        "X (2, 3, 3) ∗ K (2, 2, 2) = Y (4, 2); strides (1, 2); padding 1; dashed cells are padding"
    )


BAD = [  # what differs from page(X, K, "page.html"), the error, what its message has to say
    (dict(X=X.asnumpy()), TypeError, ["X", "numpy.ndarray"]),
    (dict(K=X[0]), ValueError, ["(3, 3)", "(c_i, k_h, k_w)"]),
    (dict(X=X.expand_dims(0)), ValueError, ["(1, 2, 3, 3)", "(c_i, h, w)"]),
    (dict(X=X[:1]), ValueError, ["1 channels", "(1, 3, 3)", "(1, 2, 2, 2)"]),
    (dict(K=nd.ones((2, 4, 4))), ValueError, ["larger", "(4, 4)"]),
    (dict(X=nd.ones((2, 3, 17))), ValueError, ["too large", "16", "(2, 3, 17)"]),
    (dict(padding=7), ValueError, ["too large", "16", "padding=(7, 7)"]),
    (dict(X=nd.ones((9, 3, 3)), K=nd.ones((9, 1, 1))), ValueError, ["8 input", "(9, 3, 3)"]),
    (dict(K=nd.ones((9, 2, 1, 1))), ValueError, ["8 input", "(9, 2, 1, 1)"]),
    (dict(X=nd.ones((2, 8, 8)), K=nd.ones((2, 8, 7))), ValueError, ["100 products"]),
    (dict(strides=0), ValueError, ["strides=0"]),
    (dict(strides=1.5), TypeError, ["strides=1.5"]),
    (dict(padding=-1), ValueError, ["padding=-1"]),
    (dict(dilation="2"), TypeError, ["dilation='2'"]),
    (dict(title=None), TypeError, ["title=None"]),
    (dict(path=None), TypeError, ["path=None"]),
    (dict(path="page.svg"), ValueError, [".html", "page.svg"]),
    (dict(path="no/such/page.html"), ValueError, ["no directory", "no/such"]),
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
def test_the_example_writes_the_chapters_page(tmp_path):
    script = str(ROOT / "examples" / "page.py")
    output = subprocess.check_output([sys.executable, script], text=True)
    path = ROOT / "examples" / "output" / "page.html"
    assert output == f"wrote {path}\n"
    assert path.read_bytes() == draw.page(X, K3, tmp_path / "page.html").read_bytes()


# In a browser


def in_a_browser(test):
    return pytest.mark.slow(pytest.mark.browser(test))


FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium that logs everything it requests from the network."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip(
            "needs Chromium and its driver (Debian: chromium, chromium-driver), to click through "
            "the page, use its keys, and see it on a phone's screen and in dark mode"
        )
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS + [f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.get("about:blank")  # leaves the start page, which makes requests of its own
    yield browser
    browser.quit()


class Tab:
    """A page in the browser, as its reader uses it."""

    def __init__(self, browser, path):
        self.browser = browser
        self.screen(1200, 900)
        self.prefer()
        for name in ("browser", "performance"):
            browser.get_log(name)  # drops what is there
        browser.get(path.as_uri())

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

    @property
    def sum(self):
        return self.run("document.getElementById('sum').textContent")

    @property
    def focused(self):
        return self.browser.switch_to.active_element

    def click(self, position):
        self.find("#output td")[position].click()

    def press(self, *keys):
        """Press keys together, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        keys = [getattr(Keys, key.upper()) for key in keys]
        chain = ActionChains(self.browser)
        for key in keys:
            chain.key_down(key)
        for key in reversed(keys):
            chain.key_up(key)
        chain.perform()

    def lit(self):
        """The positions of the lit cells of each table, by its caption."""
        return dict(
            self.run(
                "[...document.querySelectorAll('table')].map(table => [table.caption.textContent,"
                " [...table.querySelectorAll('td')].flatMap((cell, i) =>"
                "   cell.classList.contains('lit') ? [i] : [])])"
            )
        )

    def rows(self, caption):
        """The texts of the table with that caption."""
        return self.run(
            "[...[...document.querySelectorAll('table')].find("
            "  table => table.caption.textContent === arguments[0]).rows].map("
            "row => [...row.cells].map(cell => cell.textContent))",
            caption,
        )

    def until(self, condition, seconds=20):
        """Wait until a condition holds."""
        end = time.time() + seconds
        while not condition():
            assert time.time() < end, f"not within {seconds} s; the sum is {self.sum}"
            time.sleep(0.05)


@pytest.fixture
def tab(browser, tmp_path):
    """The chapter's arrays, with three output channels; nothing may be logged or requested."""
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html"))
    yield tab
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert set(asked) == {(tmp_path / "page.html").as_uri()}


@in_a_browser
def test_the_page_opens_on_the_books_sum(tab):
    assert tab.browser.title == "Multiple input and output channels"
    assert tab.sum == "(1×1+2×2+4×3+5×4)+(0×0+1×1+3×2+4×3) = 56"
    assert tab.lit() == {
        "Y[0]": [0],
        "X[1]": [0, 1, 3, 4],
        "K[0, 1]": [0, 1, 2, 3],
        "X[0]": [0, 1, 3, 4],
        "K[0, 0]": [0, 1, 2, 3],
    }
    assert tab.rows("Y[0]") == [["56", "72"], ["104", "120"]]
    assert tab.rows("K[0, 1]") == [["1", "2"], ["3", "4"]]


@in_a_browser
def test_click_every_element_of_every_channel(tab):
    data = Page(Path(tab.browser.current_url[7:])).data
    choices = tab.find("#switch input")
    assert [label.text for label in tab.find("#switch label")] == ["Y[0]", "Y[1]", "Y[2]"]
    for o, plane in enumerate(data["outputs"]):
        choices[o].click()
        assert tab.rows(plane["name"]) == plane["rows"]
        for kernel in plane["kernels"]:
            assert tab.rows(kernel["name"]) == kernel["rows"]
        for position, window in enumerate(data["windows"]):
            tab.click(position)
            assert tab.sum == plane["sums"][position]
            lit = tab.lit()
            assert lit.pop(plane["name"]) == [position]
            assert [lit[name] for name in ("X[0]", "X[1]")] == [window, window]
            assert [lit[kernel["name"]] for kernel in plane["kernels"]] == [[0, 1, 2, 3]] * 2


@in_a_browser
def test_a_switch_keeps_the_element(tab):
    tab.click(3)
    tab.find("#switch input")[2].click()
    assert tab.sum == "(5×3+6×4+8×5+9×6)+(4×2+5×3+7×4+8×5) = 224"


@in_a_browser
def test_the_arrow_keys_walk_the_grid(tab):
    tab.click(0)
    for keys, total in [
        ("arrow_right", 72),
        ("arrow_right", 72),
        ("arrow_down", 120),
        ("arrow_down", 120),
        ("arrow_left", 104),
        ("arrow_left", 104),
        ("arrow_up", 56),
        ("arrow_up", 56),
        ("end", 72),
        ("home", 56),
        ("control end", 120),
        ("home", 104),
        ("control home", 56),
    ]:
        tab.press(*keys.split())
        assert tab.sum.endswith(f" = {total}")
        assert tab.focused.text == str(total)


@in_a_browser
def test_the_keyboard_is_enough(tab):
    """Tab reaches the switch, the button and one cell of the grid, and then leaves the grid."""
    stops = []
    for _ in range(3):
        tab.press("tab")
        stops.append((tab.focused.aria_role, tab.focused.accessible_name))
    assert stops == [
        ("radio", "Y[0]"),
        ("button", "Play"),
        ("gridcell", "Y[0], row 0, column 0: 56"),
    ]
    tab.press("arrow_down")
    assert tab.focused.accessible_name == "Y[0], row 1, column 0: 104"
    tab.press("shift", "tab")
    tab.press("shift", "tab")
    tab.press("arrow_right")
    assert tab.focused.accessible_name == "Y[1]"
    assert tab.sum.endswith(" = 148")
    tab.press("tab")
    tab.press("tab")
    assert tab.focused.accessible_name == "Y[1], row 1, column 0: 148"
    tab.press("tab")
    assert not tab.run("document.getElementById('output').contains(document.activeElement)")


@in_a_browser
def test_a_screen_reader_is_told(tab):
    (grid,) = tab.find("#output table")
    assert (grid.aria_role, grid.accessible_name) == ("grid", "Output Y[0]")
    assert tab.find("#switch")[0].accessible_name == "Output channel"
    assert [table.accessible_name for table in tab.find("#channels table")] == [
        "X[1]",
        "K[0, 1]",
        "X[0]",
        "K[0, 0]",
    ]
    tab.click(1)
    selected = [cell.get_attribute("aria-selected") for cell in tab.find("#output td")]
    assert selected == ["false", "true", "false", "false"]
    (sum,) = tab.find("#sum")
    assert sum.aria_role == "status"
    assert sum.get_attribute("aria-live") == "polite"
    assert tab.run("document.documentElement.lang") == "en"


@in_a_browser
def test_play_steps_and_pause_stops(tab):
    (play,) = tab.find("#play")
    play.click()
    assert play.text == "Pause"
    assert tab.find("#sum")[0].get_attribute("aria-live") == "off"
    tab.until(lambda: tab.sum.endswith(" = 72"))
    play.click()
    assert play.text == "Play"
    assert tab.find("#sum")[0].get_attribute("aria-live") == "polite"
    time.sleep(2)
    assert tab.sum.endswith(" = 72")


@in_a_browser
def test_space_plays_and_a_choice_pauses(tab):
    tab.click(2)
    tab.press("space")
    tab.until(lambda: tab.sum.endswith(" = 120"))
    assert tab.focused.text == "120"  # the focus moves along
    tab.press("arrow_up")
    assert tab.find("#play")[0].text == "Play"
    assert tab.sum.endswith(" = 72")
    tab.press("space")
    assert tab.find("#play")[0].text == "Pause"
    tab.press("space")
    assert tab.find("#play")[0].text == "Play"


@in_a_browser
def test_play_visits_every_element(browser, tmp_path):
    """On a clock that runs fifty times faster."""
    code = "const real = setInterval; window.setInterval = (f, t) => real(f, t / 50);"
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", dict(source=code))
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html"))
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    browser.execute_script(
        "window.seen = [document.getElementById('sum').textContent];"
        "new MutationObserver(() => seen.push(document.getElementById('sum').textContent))"
        ".observe(document.getElementById('sum'), {childList: true});"
    )
    tab.find("#play")[0].click()
    tab.until(lambda: tab.run("seen.length") > 13)
    data = Page(tmp_path / "page.html").data
    sums = [text for plane in data["outputs"] for text in plane["sums"]]
    assert tab.run("seen")[:14] == sums + sums[:2]


@in_a_browser
def test_padding_shows_as_such(browser, tmp_path):
    tab = Tab(browser, draw.page(X, K, tmp_path / "page.html", padding=1, strides=2))
    assert not tab.find("#switch")[0].is_displayed()  # there is one output channel
    assert [cell.text for cell in tab.find("#output td")] == ["4", "26", "57", "120"]
    border = [0, 1, 2, 3, 4, 5, 9, 10, 14, 15, 19, 20, 21, 22, 23, 24]
    for table in tab.find("#channels .row > :first-child table"):
        cells = table.find_elements("css selector", "td")
        styles = [cell.value_of_css_property("border-top-style") for cell in cells]
        assert [position for position, style in enumerate(styles) if style == "dashed"] == border
        assert cells[0].accessible_name == "0, padding"
        assert cells[6].text == cells[6].accessible_name
    tab.click(1)
    assert tab.lit()["X[0]"] == [2, 3, 7, 8]
    assert tab.sum == "(0×1+0×2+2×3+3×4)+(0×0+0×1+1×2+2×3) = 26"


def random(*shape):
    return nd.random.normal(shape=shape)


WIDE = {
    "the chapter's": lambda path: draw.page(X, K3, path),
    "floats": lambda path: draw.page(random(3, 5, 5), random(8, 3, 3, 3), path, 2, 1),
    "large": lambda path: draw.page(1e5 * random(2, 16, 16), random(2, 7, 7), path, title="W" * 99),
}


@in_a_browser
@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("width", [320, 360, 768])
def test_a_narrow_screen_scrolls_down_only(name, width, browser, tmp_path):
    tab = Tab(browser, WIDE[name](tmp_path / "page.html"))
    tab.screen(width, 740)
    tab.until(lambda: tab.run("innerWidth") == width)
    assert tab.run("document.documentElement.scrollWidth") <= width
    last = len(tab.find("#output td")) - 1
    tab.click(0)
    tab.press("control", "end")
    assert tab.sum == Page(tmp_path / "page.html").data["outputs"][0]["sums"][last]
    for selector in ("#sum", "#output td:focus", "#play"):
        box = tab.find(selector)[0].rect
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, selector
    assert tab.run("document.getElementById('sum').scrollWidth") <= width
    cell, dock = tab.run(
        "['#output td:focus', '#sum'].map(selector =>"
        " document.querySelector(selector).getBoundingClientRect())"
    )
    assert 0 <= cell["top"] and cell["bottom"] <= dock["top"] and dock["bottom"] <= 740
    lit = tab.run(
        "[...document.querySelectorAll('.scroll')].map(box => [box, box.querySelector('.lit')].map("
        " node => node.getBoundingClientRect().left))"
    )
    for box, first in lit:  # the start of each window is visible
        assert box <= first < width - 20


def contrast(one, other):
    """The contrast of two colors as CSS writes them, rgb(r, g, b)."""
    rgb = [[int(part) / 255 for part in re.findall(r"\d+", color)] for color in (one, other)]
    dark, light = sorted(map(luminance, rgb))
    return (light + 0.05) / (dark + 0.05)


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_color_schemes_are_readable(scheme, browser, tmp_path):
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html", padding=1))
    tab.prefer(scheme, "reduce")
    page = tab.run("getComputedStyle(document.body).backgroundColor")
    assert (contrast(page, "rgb(0, 0, 0)") > 15) == (scheme == "light")
    pairs = tab.run(
        "[...document.querySelectorAll('main *')].map(node => {"
        "  const own = getComputedStyle(node);"
        "  return [node.tagName + '.' + node.className, own.color,"
        "    own.backgroundColor === 'rgba(0, 0, 0, 0)' ? arguments[0] : own.backgroundColor];"
        "})",
        page,
    )
    assert {"TD.", "TD.border", "TD.lit", "TD.border lit", "BUTTON.", "CAPTION."} <= {
        name for name, _, _ in pairs
    }
    for name, ink, paper in pairs:
        assert contrast(ink, paper) >= 4.5, (name, ink, paper)
    line = tab.find("#output td:not(.lit)")[0].value_of_css_property("border-top-color")
    assert contrast(line, page) >= 3


@in_a_browser
def test_reduced_motion_is_honored(browser, tmp_path):
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html"))
    cell = tab.find("#output td")[0]
    assert cell.value_of_css_property("transition-duration") == "0.2s"
    tab.prefer(motion="reduce")
    assert cell.value_of_css_property("transition-duration") == "0s"

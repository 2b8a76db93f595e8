"""The page in a browser, as its readers use it: for the tests that open one."""

import json
import time

import chromium
from helpers import K3, NUMPY_MODE, X
from mxconv import draw
from mxconv.draw.sums import check_convolution
from mxconv.draw.webpage import LIMITS

import numpy as np
import pytest
from mxnet import nd

SIZES = [(1280, 900), (1024, 768), (390, 844), (320, 740), (640, 450)]  # the last: 200 %


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


def pixel(tab, plane, position):
    """The color of a number in a picture: red, green, blue, and 0 if it is transparent."""
    return tab.run(
        "(plane => [...plane.canvas.getContext('2d').getImageData(arguments[0] % plane.columns,"
        f" Math.floor(arguments[0] / plane.columns), 1, 1).data])(planes.{plane})",
        position,
    )


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


def tree(tab):
    """The accessibility tree's nodes that aren't ignored: roles and names."""
    nodes = tab.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]


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

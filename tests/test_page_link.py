"""The page's link, its images, and a reader who does anything."""

import oracle
from helpers import K3, NUMPY_MODE, X, integers
from mxconv import draw
from mxconv.draw.sums import (
    format_number,
)
from page_tab import (
    SIZES,
    Tab,
    assert_quiet,
    cell,
    images,
    in_a_browser,
    is_drawn,
    pixel,
    point,
    random,
    some_settings,
    tree,
)

import numpy as np
from mxnet import nd

SNAPSHOT = (
    "JSON.stringify([state.scene, state.kernel, state.X.shape, state.X.data.map(exactText),"
    " state.K.shape, state.K.data.map(exactText), state.settings, state.output, state.row,"
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
        for value in np.random.choice(
            [0.1, -7, 1e21, 5e-324, 0, -0.0], np.random.randint(3)
        ).tolist()
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
    "nonsense" * 100,
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
    "mode=",
    "X=1,2,3",
    "X=" + "a," * 17 + "a",
    "X=" + "1," * 1000,
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
        assert 0 < len(tab.text("#notice")) < 120, link
        assert tab.run("toLink()") == "", link
        assert tab.sum == "Y[0][0, 0] = 19 + 37 = 56"


@in_a_browser
def test_a_wrong_link_still_hides_the_answers(tab):
    for link in WRONG:
        if link.startswith("hide"):
            continue
        tab.run("follow('')")
        tab.run("follow(arguments[0])", link + "&hide=1")
        assert tab.text("#notice") != "", link
        assert tab.run("toLink()") == "hide=1" and tab.find("#hide")[0].is_selected(), link
        assert tab.sum == "Y[0][0, 0] = … + … = …"


@in_a_browser
def test_the_link_holds_a_negative_zero(browser, tmp_path):
    for zero, typed in [(0.0, "-0"), (-0.0, "0")]:
        x = nd.array([[[zero, 1, 2], [3, 4, 5], [6, 7, 8]]])
        page = draw.page(x, K3[:1, :1], tmp_path / "page.html")
        tab = Tab(browser, page)
        is_negative = "Object.is(state.X.data[0], -0)"
        assert tab.run(is_negative) == (typed == "0") and tab.run("toLink()") == ""
        cell(tab, "X[0]", 0).click()
        for key in (*typed, "enter"):
            tab.press(key)
        assert tab.find("#value")[0].get_attribute("value") == typed
        link = tab.run("location.hash.slice(1)")
        assert link == f"X={typed},1,2,3,4,5,6,7,8"
        assert Tab(browser, page, link).run(is_negative) == (typed == "-0")


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


FILTERS = {
    "edges": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
}


def smooth_photograph():
    """Three channels, bright and dark in waves with an edge, and each filter for the first."""
    waves = 120 + 80 * np.sin(np.arange(40) / 4)
    x = np.stack([np.add.outer(np.arange(30), waves)] * 3).round()
    x[0, 15:, 20:] = 2
    first = np.array([1, 0, 0]).reshape((1, 3, 1, 1))
    return x, {name: first * np.reshape(kernel, (1, 1, 3, 3)) for name, kernel in FILTERS.items()}


@in_a_browser
def test_outputs_like_a_picture_are_shown_in_its_gray_levels(browser, tmp_path):
    """Others, with negative numbers that matter, from blue to orange. The page says which."""
    x, kernels = smooth_photograph()
    given = {"waves": (nd.array(x), {name: nd.array(k) for name, k in kernels.items()})}
    page = draw.page(X, K3, tmp_path / "page.html", images=given)
    for n, (name, kernel) in enumerate(kernels.items()):
        tab = Tab(browser, page, f"scene=1&kernel={n}")
        most = tab.run("scales.X.most")
        gray = f"black (≤ 0) to white (≥ {format_number(most)})"
        y = oracle.convolve(x[None], kernel, None, (1, 1), (1, 1))[0, 0].ravel()
        low, high, middle = y.argmin(), y.argmax(), abs(y - 100).argmin()
        assert y[low] < 0 < most < y[high]
        colors = [pixel(tab, "Y[0]", int(place)) for place in (low, middle, high)]
        if name == "sharpen":
            level = round(255 * y[middle] / most)
            assert colors == [[0, 0, 0, 255], [level] * 3 + [255], [255] * 4]
            assert f"X, Y: {gray}." in tab.text("#note")
        else:
            assert [red < blue for red, _, blue, _ in colors] == [True, False, False]
            most = format_number(tab.run("scales.Y.most"))
            words = f"Y: blue (≤ −{most}), white (0), orange (≥ {most})"
            assert f"X: {gray}; {words}." in tab.text("#note")


@in_a_browser
def test_the_few_numbers_among_zeros_are_seen(browser, tmp_path):
    """And infinity is seen too, whereas NaN has no color."""
    x = np.zeros((1, 40, 40))
    x[0, 0, 0], x[0, 20, 10:12] = 255, [np.inf, np.nan]
    identity = nd.array([[[0, 0, 0], [0, 1, 0], [0, 0, 0]]])
    given = {"impulse": (nd.array(x), {"identity": identity})}
    tab = Tab(browser, draw.page(X, K3, tmp_path / "page.html", images=given), "scene=1&at=0,0,0")
    corner, infinite = 42 + 1, 21 * 42 + 11  # with the padding
    expected = [[255] * 4, [0, 0, 0, 255], [255] * 4, [0] * 4]
    places = (corner, corner + 1, infinite, infinite + 1)
    assert [pixel(tab, "X[0]", n) for n in places] == expected
    assert [pixel(tab, "Y[0]", n) for n in (0, 1)] == expected[:2]
    for text in ("X, Y: black (≤ 0) to white (≥ 255)", "K: black (≤ 0) to white (≥ 1)"):
        assert text in tab.run("colorsInWords(0)")


@in_a_browser
def test_a_photographs_channels_are_named(browser, tmp_path):
    page = draw.page(X, K3, tmp_path / "page.html", images=images())
    tab = Tab(browser, page, "scene=1")
    captions = "planes.X.map(plane => plane.caption.textContent)"
    assert tab.run(captions) == ["X[0] (red)", "X[1] (green)", "X[2] (blue)"]
    names = [name for _, name in tree(tab)]
    assert "Input channel 1, X[1] (green)" in names
    assert "Kernel K[1, 2]: output channel 1, input channel 2 (blue)" in names
    tab.run("void point(planes.K[1][2], 0)")
    assert "goes from input channel 2 (blue) to output channel 1." in tab.text("#live")
    tab.run("follow('scene=2')")
    assert tab.run(captions) == [f"X[{i}]" for i in range(6)]


@in_a_browser
def test_hidden_answers_have_no_colors(browser, tmp_path):
    page = draw.page(X, K3, tmp_path / "page.html", images=images())
    tab = Tab(browser, page, "scene=1&at=0,0,1")
    shown = [pixel(tab, "Y[0]", n) for n in range(3)]
    tab.find("#hide")[0].click()
    hidden = [[0, 0, 0, 0]] * 3
    for name in ("Y[0]", "Y[1]", "part[0]", "part[2]"):
        assert [pixel(tab, name, n) for n in range(3)] == hidden, name
    assert "Y:" not in tab.text("#note") and "X: black" in tab.text("#note")
    tab.run("void select(0, 1)")  # as a second click
    for name in ("Y[0]", "part[0]"):
        assert [pixel(tab, name, n)[3] for n in range(3)] == [0, 255, 0]
    assert pixel(tab, "Y[0]", 1) == shown[1]
    tab.find("#hide")[0].click()
    assert [pixel(tab, "Y[0]", n) for n in range(3)] == shown


@in_a_browser
def test_hidden_answers_have_no_colors_in_cells_that_are_too_small(browser, tmp_path):
    page = draw.page(integers((2, 16, 16)), integers((3, 2, 3, 3)), tmp_path / "page.html")
    tab = Tab(browser, page, "hide=1", (390, 844))
    assert "tiny" in tab.run("stage.className")
    backgrounds = (
        "[...new Set(planes.Y[0].cells.map(cell => (style =>"
        " style.backgroundColor + style.backgroundImage.slice(0, 9))(getComputedStyle(cell))))]"
    )
    assert tab.run(backgrounds) == ["rgba(0, 0, 0, 0)repeating"]
    tab.run("void select(0, 0)")
    assert len(tab.run(backgrounds)) == 2


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

"""The page on screens of every size, and for everybody."""

import re

from helpers import K3, X, integers, luminance
from mxconv import draw
from mxconv.draw.sums import (
    format_number,
)
from page_tab import SIZES, Tab, cell, choose, images, in_a_browser, random, tree

import pytest

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


PAIRS = """
return planes.K.map(([kernel], o) => {
  const [k, y] = [kernel, planes.Y[o]].map(plane => plane.body.getBoundingClientRect());
  const hit = document.elementFromPoint((k.left + k.right) / 2, (k.top + k.bottom) / 2);
  return [y.left - k.right, Math.abs(y.bottom - k.bottom), y.bottom, y.right,
    k.bottom > innerHeight || hit.closest("#stage") === null || kernel.body.contains(hit)];
});
"""


@in_a_browser
@pytest.mark.parametrize("scene", [0, 1])
@pytest.mark.parametrize("size", SIZES)
def test_kernels_of_one_input_channel_are_beside_their_outputs(scene, size, browser, tmp_path):
    """And all of them are seen with the sum, but in small windows, where the arrays scroll."""
    given = {"a digit": (random(1, 8, 8), {"trained": random(16, 1, 5, 5)})}
    x, k = integers((1, 8, 8)), integers((8, 1, 3, 3))
    page = draw.page(x, k, tmp_path / "page.html", images=given)
    tab = Tab(browser, page, f"scene={scene}", size)
    pairs = browser.execute_script(PAIRS)
    assert len(pairs) == [8, 16][scene]
    for beside, below, _, right, hit in pairs:
        assert 0 < beside < 20 and below < 5 and right <= size[0] and hit
    if scene == 1 and size[1] > 740:
        top = tab.run("document.getElementById('dock').getBoundingClientRect().top")
        assert max(bottom for _, _, bottom, _, _ in pairs) <= top
    for _ in range(len(pairs) - 1):
        tab.press("shift", "arrow_down")
    _, hidden = browser.execute_script(HIDDEN)
    assert not [node for node in hidden if "place" in node or "total" in node], hidden
    at = "(node => node.getBoundingClientRect())(planes.Y[state.output].body).bottom"
    assert tab.run(at) <= tab.run("document.getElementById('dock').getBoundingClientRect().top")


LINES_SEEN = (
    "(lines => lines.clientHeight / parseFloat(getComputedStyle(lines.firstChild).lineHeight))"
    "(document.querySelector('.lines'))"
)


@in_a_browser
@pytest.mark.parametrize("size", [(390, 844), (320, 740), (640, 450)])
def test_numbers_too_many_for_the_cells_are_read_in_the_sum(size, browser, tmp_path):
    """At least two lines of it are seen, and those of the product or channel that is added."""
    given = {"inside the network": (random(16, 4, 4), {"trained": random(16, 16, 3, 3)})}
    page = draw.page(random(8, 9, 9), random(8, 8, 3, 3), tmp_path / "page.html", images=given)
    for scene, count in [(0, 8), (1, 16)]:
        tab = Tab(browser, page, f"scene={scene}", size)
        assert "tiny" in tab.run("stage.className")
        assert tab.run(LINES_SEEN) > 2
        seen = tab.run(
            "(inside => { by.value = 'product';"
            " return range(arguments[0] * 10).map(() => { go(1);"
            "  const now = dock.querySelector('mark') || dock.querySelector('.line.now .name');"
            "  return inside(...[now, now.closest('.lines')].map(node =>"
            "   node.getBoundingClientRect()));"
            " }); })((one, box) => one.top >= box.top - 1 && one.bottom <= box.bottom + 1)",
            count,
        )
        assert len(seen) == 10 * count and all(seen)


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

"""The page in a real browser: what readers see and do."""

from helpers import K3, X
from mxconv import draw
from mxconv.draw.sums import (
    compute_sums,
    format_number,
)
from mxconv.draw.webpage import LIMITS
from page_tab import (
    ALL,
    WINDOW,
    Tab,
    assert_quiet,
    cell,
    choose,
    in_a_browser,
    lines,
    marked,
    numbers,
    point,
    random,
    tree,
    write,
)

import numpy as np
import pytest
from mxnet import nd


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
def test_pointing_rewrites_only_what_changes(tab):
    """Nothing at all on the same number; on others never the parts of the same output channel."""
    tab.run(
        "void (window.changes = 0, window.watch = (selector, what) =>"
        " document.querySelectorAll(selector).forEach(node =>"
        " new MutationObserver(() => { changes++; }).observe(node, {subtree: true, ...what})))"
    )
    tab.run("void watch('.part', {childList: true, characterData: true})")
    for name in ("X[0]", "X[1]", "K[0, 1]", "Y[0]"):
        for position in range(4):
            point(tab, cell(tab, name, position))
    assert tab.run("changes") == 0
    point(tab, cell(tab, "Y[1]", 0))  # another's
    assert tab.run("changes") > 0
    tab.run("void (changes = 0, watch('body', {childList: true, attributes: true}))")
    tab.run("void point(pointed.plane, pointed.position, pinned)")
    assert tab.run("new Promise(done => setTimeout(() => done(changes), 50))") == 0


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


@in_a_browser
def test_keys_in_the_list_of_products_scroll_it_and_nothing_else(browser, tmp_path):
    page = draw.page(random(8, 6, 6), random(8, 8, 3, 3), tmp_path / "page.html")
    tab = Tab(browser, page, "at=2,1,1", (390, 844))
    assert "in a long sum they scroll it" in " ".join(tab.text("#keys").split())
    scrolled = "document.querySelector('.lines').scrollTop"
    tab.run("void document.querySelector('.lines').focus()")
    before = tab.sum, tab.run("location.hash"), tab.run("scrollY")
    tab.press("arrow_down")
    tab.until(lambda: tab.run(scrolled) > 0)
    tab.press("arrow_up")
    tab.until(lambda: tab.run(scrolled) == 0)
    for keys in ["arrow_up", "arrow_left", "arrow_right", "shift arrow_right", "end"]:
        tab.press(*keys.split())
    end = tab.run(
        "(lines => lines.scrollHeight - lines.clientHeight)(document.querySelector('.lines'))"
    )
    tab.until(lambda: tab.run(scrolled) >= end - 1)
    tab.press("arrow_down")
    assert (tab.sum, tab.run("location.hash"), tab.run("scrollY")) == before
    assert tab.focused.accessible_name == "Products"


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

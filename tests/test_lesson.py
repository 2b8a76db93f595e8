"""The guide to a lesson, docs/lesson.md: every link and click in it, and what they show.

It is written to be checked. A link opens the page; from there to the next link or the end of the
paragraph, bold words are clicked, and what is in code font is what the page shows, in that order.
"""

import json
import re
import sys
from pathlib import Path

import chromium

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "page.html"
sys.path.insert(0, str(ROOT / "examples"))

TEXT = (ROOT / "docs" / "lesson.md").read_text(encoding="utf-8")
BOLD = r"\*\*(?P<click>.+?)\*\*"
STEP = re.compile(rf"\]\(page\.html#(?P<link>[^)]*)\)|{BOLD}|`(?P<code>.+?)`", re.DOTALL)


def demonstrations():
    """Each link with the steps that follow it: pairs of 'click' or 'code' and a text."""
    found = []
    for paragraph in re.split(r"\n\n|\n- ", TEXT):
        steps = []  # without a link, for the code of other paragraphs
        for match in STEP.finditer(paragraph):
            kind, text = match.lastgroup, " ".join(match[match.lastgroup].split())
            if kind == "link":
                steps = []
                found.append((text, steps))
            else:
                steps.append((kind, text))
    return found


DEMONSTRATIONS = demonstrations()


def test_every_link_is_followed_by_what_it_shows():
    assert len(DEMONSTRATIONS) > 40
    for link, steps in DEMONSTRATIONS:
        assert "code" in dict(steps), link


def test_everything_bold_is_clicked():
    clicks = [text for _, steps in DEMONSTRATIONS for kind, text in steps if kind == "click"]
    assert len(clicks) == len(re.findall(BOLD, TEXT, re.DOTALL)) > 20


def test_the_parts_take_an_hour():
    minutes = re.findall(r"^### .+ \((\d+) minutes\)$", TEXT, re.MULTILINE)
    assert sum(map(int, minutes)) == 60


# The page itself


def parts(html):
    """The scenes of a page, and all the rest of it."""
    before, data, after = re.split(r'(?<= id="data">)(.*?)(?=</script>)', html, flags=re.DOTALL)
    data = json.loads(data)
    return data.pop("scenes"), (data, before, after)


def arrays(scene):
    return [scene["X"]] + [kernel["K"] for kernel in scene["kernels"]]


@pytest.fixture
def example():
    pytest.importorskip("sklearn", reason="it has the images: the extra mxconv[examples]")
    import page

    return page


RENEW = "`examples/page.py --docs` renews docs/page.html"


def test_the_page_is_the_examples_but_for_the_trained_numbers(example):
    images = {"a photograph": (example.photograph(), example.filters())}
    scenes, rest = parts(PAGE.read_text(encoding="utf-8"))
    expected, expected_rest = parts(example.draw.page(example.X, example.K, images=images).html)
    assert rest == expected_rest, RENEW
    assert scenes[:2] == expected, RENEW
    assert [scene["name"] for scene in scenes[2:]] == ["a digit", "inside the network"]


@pytest.mark.slow
def test_the_trained_numbers_are_the_examples_up_to_rounding(example):
    """Which differs between kinds of CPUs."""
    scenes = parts(PAGE.read_text(encoding="utf-8"))[0][2:]
    made = parts(example.draw.page(example.X, example.K, images=example.trained()).html)[0][1:]
    for scene, expected in zip(scenes, made):
        for array, other in zip(arrays(scene), arrays(expected)):
            assert array["shape"] == other["shape"], RENEW
            assert np.allclose(array.pop("data"), other.pop("data"), rtol=0, atol=1e-4), RENEW
    assert scenes == made, RENEW


# In a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = chromium.start(
        tmp_path_factory.mktemp("profile"), "to follow the guide's links and click in the page"
    )
    browser.set_window_size(1280, 1000)
    yield browser
    browser.quit()


def click(browser, name):
    """Click the button, the choice or the number of that name."""
    choices = [f"//{tag}[normalize-space()='{name}']" for tag in ("button", "label", "option")]
    number = f"//*[@id='stage']//*[starts-with(@aria-label, '{name}:')]"
    (found,) = browser.find_elements("xpath", " | ".join([*choices, number]))
    found.click()


def shown(browser):
    """The text beside the arrays, in them and below them, without buttons' and fields' names."""
    text = browser.execute_script(
        "return [...document.querySelectorAll('#X, #K, #Y, #sum, #cost, #dense')]"
        ".filter(node => node.offsetHeight).map(node => node.innerText).join(' | ')"
    )
    return " ".join(text.split())


def is_shown(claim, text):
    """Whether the claim is in the text, and isn't cut out of longer numbers."""
    return re.search(rf"(?<![\w.,]){re.escape(claim)}(?!\w|[.,]\d)", text)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("link, steps", DEMONSTRATIONS, ids=[link for link, _ in DEMONSTRATIONS])
def test_a_link_shows_what_the_guide_says(link, steps, browser):
    browser.get("about:blank")  # so that the link opens the page anew
    browser.get(f"{PAGE.as_uri()}#{link}")
    assert browser.execute_script("return document.getElementById('multiplications').textContent")
    for kind, text in steps:
        if kind == "click":
            click(browser, text)
        else:
            assert is_shown(text, shown(browser)), f"{text!r} isn't in {shown(browser)!r}"
        assert browser.execute_script("return document.getElementById('notice').textContent") == ""
    assert browser.get_log("browser") == []

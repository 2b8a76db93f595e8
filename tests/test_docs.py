"""The documentation is run: its code, its outputs, and the numbers in its text."""

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
FENCED = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.-])(?:\d+\.\d+|\d{3,})(?![\w%])")


def examples(page):
    """The page's code as one doctest, in its order."""
    code = "\n".join(block for block in FENCED.findall(page))
    return doctest.DocTestParser().get_doctest(code, {}, "page", "page", 0)


@pytest.mark.parametrize("name", ["exercises.md"])
def test_the_code_on_the_page_prints_what_the_page_says(name):
    test = examples((DOCS / name).read_text(encoding="utf-8"))
    assert len(test.examples) > 20
    report = []
    results = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
    assert results.failed == 0, "".join(report)


def test_every_number_in_the_text_is_one_that_the_code_prints():
    """Numbers with a decimal point or of three digits and more; smaller ones are prose."""
    page = (DOCS / "exercises.md").read_text(encoding="utf-8")
    printed = " ".join(example.want + example.source for example in examples(page).examples)
    text = FENCED.sub("", page)
    numbers = NUMBER.findall(text)
    assert len(numbers) >= 5
    known = set(re.findall(r"\d+\.\d+|\d+", printed))
    assert [number for number in numbers if number not in known] == []

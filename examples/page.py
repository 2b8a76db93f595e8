"""The chapter's arrays as a page: click an output element, and its sum is spelled out.

It goes to ``output/page.html``; open it in a browser.
"""

from pathlib import Path

from cell_2 import X
from cell_4 import K
from mxconv import draw

PAGE = Path(__file__).resolve().parent / "output" / "page.html"


def main():
    PAGE.parent.mkdir(exist_ok=True)
    print("wrote %s" % draw.page(X, K, PAGE))


if __name__ == "__main__":
    main()

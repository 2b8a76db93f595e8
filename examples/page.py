"""A web page with the chapter's arrays: click an output element to see its sum spelled out.

It is written to ``output/page.html``; open that file in a browser.
"""

import argparse
from pathlib import Path

from cell_2 import X
from cell_4 import K
from mxconv import draw

PAGE = Path(__file__).resolve().parent / "output" / "page.html"


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # no options
    PAGE.parent.mkdir(exist_ok=True)
    print(f"wrote {draw.page(X, K, PAGE)}")


if __name__ == "__main__":
    main()

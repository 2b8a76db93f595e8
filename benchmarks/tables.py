"""The table of algorithms, made of their records; --docs writes it into the README and docs/."""

import argparse

from mxconv.algorithms import table
from pages import ROOT, put_between_markers

PAGES = ("README.md", "docs/algorithms.md")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", action="store_true", help=f"write it into {' and '.join(PAGES)}")
    options = parser.parse_args()
    print(table())
    if options.docs:
        for page in PAGES:
            put_between_markers(ROOT / page, "algorithms", table())


if __name__ == "__main__":
    main()

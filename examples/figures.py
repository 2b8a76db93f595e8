"""The chapter's two figures, general cases of the first, and the plot of problem 3, all computed.

They are written to ``output/`` as SVG and PNG, or with ``--docs`` to ``docs/figures/``, where the
repository keeps them.
"""

import argparse
from pathlib import Path

import cell_4
import problem_3
from cell_2 import K, X
from mxconv import draw

from mxnet import nd

HERE = Path(__file__).resolve().parent
PIXELS = nd.stack(X[0], X[1], X[1] + 1)  # a third channel, in the style of the chapter
MIX = nd.array([[0, 1, 2], [3, 4, 5]]).reshape((2, 3, 1, 1))
FOUR = nd.stack(*PIXELS, X[1] + 2)
GROUPED = nd.stack(K, K + 1, K + 2, K + 3)  # each sees two of the four channels
DEPTHWISE = cell_4.K[:, :1]  # each sees one of the three

FIGURES = {
    "multi_in": lambda path: draw.multi_in(X, K, path),
    "one_by_one": lambda path: draw.one_by_one(PIXELS, MIX, path),
    "general": lambda path: draw.multi_in(
        X, cell_4.K, path, output_channel=1, element=(1, 0), strides=(1, 2), padding=1
    ),
    "groups": lambda path: draw.multi_in(FOUR, GROUPED, path, output_channel=2, groups=2),
    "depthwise": lambda path: draw.multi_in(
        PIXELS, DEPTHWISE, path, output_channel=1, element=(0, 1), groups=3
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="write to docs/figures/ instead")
    directory = HERE.parent / "docs" / "figures" if parser.parse_args().docs else HERE / "output"
    directory.mkdir(parents=True, exist_ok=True)
    for name, figure in FIGURES.items():
        for suffix in (".svg", ".png"):
            figure(directory / (name + suffix))
            print(f"wrote {directory / (name + suffix)}")
    problem_3.draw(directory / "doubling.png")
    print(f"wrote {directory / 'doubling.png'}")


if __name__ == "__main__":
    main()

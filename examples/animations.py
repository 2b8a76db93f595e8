"""Animations for slides: the chapter's sum, strides, dilation, a depthwise and a transposed one.

They are written to ``output/`` as GIF, for slides, and as HTML, to step through. Other kinds are
chosen by ``--kinds``: svg for web pages, and mp4, which needs ffmpeg.
"""

import argparse
from pathlib import Path

import cell_4
from cell_2 import X
from mxconv import draw

from mxnet import nd

OUTPUT = Path(__file__).resolve().parent / "output"
EDGES = nd.array([[[1, 0, -1], [2, 0, -2], [1, 0, -1]]])  # a Sobel filter
BILINEAR = nd.array([[[1, 2, 1], [2, 4, 2], [1, 2, 1]]])  # times 4


def pattern(rows, columns):
    """Small numbers that are easy to tell apart."""
    return 3 * nd.arange(rows * columns).reshape((1, rows, columns)) % 8


PIXELS = nd.concat(X, X[:1] + 2, dim=0)
EACH = nd.array([[[0, 1], [2, 3]], [[1, 0], [0, 1]], [[1, -1], [1, -1]]]).expand_dims(1)

ANIMATIONS = {  # X, K and the settings; no name is that of a figure, which may be an SVG as well
    "channels": (X, cell_4.K, {}),
    "strides": (pattern(5, 5), EDGES, dict(strides=2, padding=1)),
    "dilation": (pattern(7, 7), EDGES, dict(dilation=2)),
    "channelwise": (PIXELS, EACH, dict(groups=3)),
    "transposed": (pattern(3, 3), BILINEAR, dict(strides=2, padding=1, transposed=True)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--kinds",
        nargs="+",
        default=["gif", "html"],
        metavar="KIND",
        choices=["gif", "html", "mp4", "svg"],
        help="%(choices)s",
    )
    kinds = parser.parse_args().kinds
    OUTPUT.mkdir(exist_ok=True)
    for name, (x, k, settings) in ANIMATIONS.items():
        for kind in kinds:
            path = draw.animate(x, k, OUTPUT / f"{name}.{kind}", **settings).path
            print(f"wrote {path}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

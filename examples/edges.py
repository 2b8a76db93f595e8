"""One layer applied to a photograph: edges in two directions, and a sharpened image.

The kernels of the three output channels are set by hand, so it is known what each channel should
show. The lines along the borders are edges too: there the zeros of the padding begin, which are
black.
"""

import argparse
import sys
from pathlib import Path

from mxconv import MultiChannelConv2D, corr2d_multi_in_out
from mxconv.exercises import rounding_error_bound

from matplotlib.figure import Figure
from mxnet import nd
from sklearn.datasets import load_sample_image

PICTURE = Path(__file__).resolve().parent / "output" / "edges.png"
VERTICAL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]  # Sobel: the slope from left to right
HORIZONTAL = [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]  # Sobel: the slope from top to bottom
SHARPEN = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]  # the pixel plus its differences to 4 neighbors


def photograph():
    """scikit-learn's china.jpg with values from 0 to 1, as an NDArray of shape (3, 427, 640)."""
    return nd.array(load_sample_image("china.jpg") / 255).transpose((2, 0, 1))


def kernel():
    """The layer's weight, (3, 3, 3, 3): each filter on the mean of red, green and blue."""
    filters = nd.array([VERTICAL, HORIZONTAL, SHARPEN])
    return nd.stack(filters, filters, filters, axis=1) / 3


def filter_layer():
    """A layer with three output channels of the input's size and the kernels of `kernel`."""
    layer = MultiChannelConv2D(3, kernel_size=3, padding=1, use_bias=False, in_channels=3)
    layer.initialize()
    layer.weight.set_data(kernel())
    return layer


def check(X, Y, top=150, left=200, size=100):
    """Compare a crop of the layer's output `Y` for the image `X` with the chapter's definition.

    Returns the largest difference, and the largest ratio of a difference to its bound. The bound is
    twice the rounding error bound, since either side may be off by that much.
    """
    crop = X[:, top - 1 : top + size + 1, left - 1 : left + size + 1]
    difference = (
        corr2d_multi_in_out(crop, kernel()) - Y[:, top : top + size, left : left + size]
    ).abs()
    ratio = difference.astype("float64") / (2 * rounding_error_bound(crop, kernel()))
    return difference.max().asscalar(), ratio.max().asscalar()


def draw(X, Y, path):
    """Write the photograph `X` and the three channels of `Y` to a PNG of 1300 x 940 pixels."""
    edges = {"cmap": "gray_r", "vmin": 0, "vmax": 2}  # strong edges are black, the rest is white
    pictures = [
        ("the photograph: 3 input channels", X.transpose((1, 2, 0)), {}),
        ("output channel 0: vertical edges (absolute value)", Y[0].abs(), edges),
        ("output channel 1: horizontal edges (absolute value)", Y[1].abs(), edges),
        ("output channel 2: sharpened", Y[2], {"cmap": "gray", "vmin": 0, "vmax": 1}),
    ]
    figure = Figure(figsize=(13, 9.4), dpi=100, constrained_layout=True)
    for panel, (title, image, colors) in zip(figure.subplots(2, 2).flat, pictures):
        panel.imshow(image.asnumpy(), **colors)
        panel.set_title(title)
        panel.set_axis_off()
    figure.supxlabel(
        "The dark lines along the borders of channels 0 and 1 are edges too: "
        "there the photograph ends, and the zeros of the padding begin."
    )
    path.parent.mkdir(exist_ok=True)
    figure.savefig(str(path))


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # no options
    X = photograph()
    Y = filter_layer()(X.expand_dims(0))[0]
    draw(X, Y, PICTURE)
    print(f"wrote {PICTURE}")
    print(f"input {X.shape}, output {Y.shape}: channels, height, width")
    difference, ratio = check(X, Y)
    print(
        f"100 x 100 pixels computed by the definition: largest difference {difference:.1e}, "
        f"{ratio:.2f} of the rounding error bound"
    )
    if not ratio <= 1:
        return "edges: the layer's output differs from the definition's"
    return None


if __name__ == "__main__":
    sys.exit(main())

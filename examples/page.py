"""A web page with the chapter's arrays, a photograph and a trained layer, and every sum in them.

It is written to ``output/page.html``, or with ``--docs`` to ``docs/page.html``, where the
repository keeps it; open that file in a browser.
"""

import argparse
from pathlib import Path

import digits
import edges
from cell_2 import X
from cell_4 import K
from mxconv import MultiChannelConv2D, draw

from mxnet import nd

HERE = Path(__file__).resolve().parent
SMALLER = 4  # the photograph's pixels, in each direction
EPOCHS = 5
BLUR = [[1 / 9] * 3] * 3


def photograph():
    """scikit-learn's china.jpg, smaller, as whole numbers from 0 to 255: (3, 106, 160)."""
    image = edges.photograph()[:, :-3].expand_dims(0)
    small = nd.Pooling(image, kernel=(SMALLER, SMALLER), stride=(SMALLER, SMALLER), pool_type="avg")
    return (small[0] * 255).round()


def apart(kernel):
    """A kernel (3, 3, 3, 3) that gives each color its own output: all but K[i, i] is zero."""
    return nd.eye(3).reshape((3, 3, 1, 1)) * nd.array(kernel).reshape((1, 1, 3, 3))


def filters():
    """Kernels for the photograph's three channels, by name."""
    directions = edges.VERTICAL, edges.HORIZONTAL
    return {
        "edges": nd.stack(*[nd.stack(*[nd.array(k)] * 3) for k in directions]),
        "blur": apart(BLUR),
        "sharpen": apart(edges.SHARPEN),
    }


def trained():
    """A digit, its two convolutions' inputs and their trained kernels, without bias, by name."""
    training, (X_test, _) = digits.load()
    net = digits.lenet(MultiChannelConv2D)
    digits.train(net, training, EPOCHS, title="training a layer for the page")
    first, pool, second = net[0], net[1], net[2]
    digit = X_test[:1]
    return {
        "a digit": (digit[0], {"trained": first.weight.data()}),
        # Half of the output channels, so that they can be told apart.
        "inside the network": (pool(first(digit))[0], {"trained": second.weight.data()[:16]}),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="write docs/page.html instead")
    path = HERE / "output" / "page.html"
    if parser.parse_args().docs:
        path = HERE.parent / "docs" / "page.html"
    path.parent.mkdir(exist_ok=True)
    draw.page(X, K, path, images={"a photograph": (photograph(), filters()), **trained()})
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

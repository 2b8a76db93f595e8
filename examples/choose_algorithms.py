"""The algorithm of each layer of a small detector, predicted by the rules and measured.

The backbone has depthwise and 1x1 layers, like MobileNet's. The heads have few output channels, for
which MXNet's operator is slow. The times are measured on one thread and aren't checked; the outputs
are.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mxconv import MultiChannelConv2D, choose_algorithms, load_choices, set_algorithm

import mxnet as mx
from mxnet import nd
from mxnet.gluon import nn

SAVED = Path(__file__).resolve().parent / "output" / "choices.json"
CALLS = 15
TOLERANCE = 1e-4  # of the outputs, relative to the largest one


def block(channels, before, strides=1):
    """A depthwise 3x3 layer and a 1x1 layer, each with batch normalization."""
    layers = nn.HybridSequential()
    for layer in (
        MultiChannelConv2D(before, 3, strides, 1, groups=before, use_bias=False),
        MultiChannelConv2D(channels, 1, use_bias=False),
    ):
        layers.add(layer, nn.BatchNorm(), nn.Activation("relu"))
    return layers


class Detector(nn.HybridBlock):
    """For images (n, 3, h, w): scores (n, 2, ...), boxes (n, 4, ...) and a mask (n, 1, ...)."""

    def __init__(self):
        super().__init__()
        self.features = nn.HybridSequential()
        self.features.add(MultiChannelConv2D(16, 3, 2, 1), nn.Activation("relu"))
        self.features.add(block(36, 16), block(64, 36))
        self.scores = MultiChannelConv2D(2, 5, padding=2)
        self.boxes = MultiChannelConv2D(4, 3, padding=1)
        self.mask = MultiChannelConv2D(1, 3, padding=1)

    def hybrid_forward(self, F, x):
        x = self.features(x)
        return self.scores(x), self.boxes(x), self.mask(x)


def detector(x, algorithm):
    """A hybridized detector, called once with x; its parameters are the same every time."""
    net = Detector()
    mx.random.seed(1)
    net.initialize(mx.init.Xavier())
    set_algorithm(net, algorithm)
    net.hybridize(static_alloc=True, static_shape=True)
    net(x)  # infers the input channels of the layers, and draws their parameters
    return net


def milliseconds(nets, x):
    """The median time of a call of each network; the networks take turns."""
    times = {name: [] for name in nets}
    for _ in range(CALLS):
        for name, net in nets.items():
            start = time.perf_counter()
            net(x)
            nd.waitall()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values[2:]) for name, values in times.items()}  # 2 to warm up


def difference(ours, theirs):
    """The largest difference between two lists of outputs, relative to the largest output."""
    return max(((a - b).abs().max() / b.abs().max()).asscalar() for a, b in zip(ours, theirs))


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # no options
    x = nd.random.normal(shape=(1, 3, 128, 128))
    nets = {name: detector(x, "native") for name in ("native", "measured", "loaded")}
    nets["predicted"] = detector(x, "auto")
    expected = nets["native"](x)

    print(choose_algorithms(nets["predicted"], x.shape))
    print()
    SAVED.parent.mkdir(exist_ok=True)
    print(choose_algorithms(nets["measured"], x, measure=True, path=SAVED))
    load_choices(nets["loaded"], SAVED)
    print(f"wrote {SAVED}")

    for name, time_of_call in milliseconds(nets, x).items():
        print(f"{name:9}  {time_of_call:6.2f} ms per call of the network")
    for name in ("predicted", "measured", "loaded"):
        differs = difference(nets[name](x), expected)
        print(f"{name}: outputs differ by {differs:.1e} of the largest")
        if not differs <= TOLERANCE:
            return f"choose_algorithms: outputs of the {name} network differ by {differs:.1e}"
    return None


if __name__ == "__main__":
    sys.exit(main())

"""A detector's heads on a small network, tuned: each layer's algorithm by measurement.

The backbone is like MobileNet's, of depthwise and 1x1 layers; the heads have few output channels,
which MXNet's operator is slow for. What is printed of times is measured, on one thread, and not
judged; the outputs are.
"""

import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mxconv  # first: it readies NumPy for MXNet
from mxconv import MultiChannelConv2D, load_tuning, tune

import mxnet as mx
from mxnet import nd
from mxnet.gluon import nn

SAVED = Path(__file__).resolve().parent / "output" / "tuning.json"
CALLS = 15
MOST = 1e-4  # how much outputs may differ, as a share of the largest


def block(channels, before, strides=1):
    """A depthwise 3x3 layer and a 1x1 layer, both normalised: n, before -> n, channels."""
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


def detector(x):
    """The network, with the same parameters every time, hybridized and called once with x."""
    net = Detector()
    mx.random.seed(1)
    net.initialize(mx.init.Xavier())
    mxconv.set_algorithm(net, "direct")
    net.hybridize(static_alloc=True, static_shape=True)
    net(x)  # which finds out the layers' input channels, and draws their parameters
    return net


def milliseconds(nets, x):
    """The median time of a call of each network, called in turn."""
    times = {name: [] for name in nets}
    for _ in range(CALLS):
        for name, net in nets.items():
            start = time.perf_counter()
            net(x)
            nd.waitall()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def difference(ours, theirs):
    """The largest difference of two lists of outputs, as a share of the largest output of each."""
    return max(((a - b).abs().max() / b.abs().max()).asscalar() for a, b in zip(ours, theirs))


def main():
    x = nd.random.normal(shape=(1, 3, 128, 128))
    nets = {name: detector(x) for name in ("direct", "tuned", "loaded")}
    expected = nets["direct"](x)

    SAVED.parent.mkdir(exist_ok=True)
    print(tune(nets["tuned"], x, path=SAVED))
    load_tuning(nets["loaded"], SAVED)
    print(f"wrote {SAVED}")

    for name, time_of_call in milliseconds(nets, x).items():
        print(f"{name:6}  {time_of_call:6.2f} ms a call of the network")
    for name in ("tuned", "loaded"):
        differs = difference(nets[name](x), expected)
        print(f"{name}: outputs differ by {differs:.1e} of the largest")
        if not differs <= MOST:
            return f"tune: the {name} network has other outputs"
    return None


if __name__ == "__main__":
    sys.exit(main())

"""The cost of training the layer after a concatenation, which `nn.Conv2D` can't always do.

The outputs of two convolutions with 12 channels each are concatenated, and a layer with 16 follows.
`nn.Conv2D` can train there only if its input is copied by hand. Each figure is a ratio of medians
of calls that take turns, on one core: above 1, the layer is faster. Some lines have no
concatenation, since eager training has to look for one.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mxconv import MultiChannelConv2D, cpu
from timing import in_turn, on_one_core, ratio

from mxnet import gluon, nd
from mxnet.gluon import nn

STATIC = dict(static_alloc=True, static_shape=True)


class Joined(gluon.HybridBlock):
    """Two convolutions, their concatenation, and a layer that gets it or a copy of it."""

    def __init__(self, kind, copied=False):
        super().__init__()
        self.copied = copied
        with self.name_scope():
            self.one, self.other = (nn.Conv2D(12, 3, padding=1, in_channels=3) for _ in range(2))
            self.layer = kind(16, 3, padding=1, in_channels=24)

    def hybrid_forward(self, F, x):
        x = F.concat(self.one(x), self.other(x), dim=1)
        return self.layer(x.slice_axis(axis=0, begin=0, end=None) if self.copied else x)


def in_a_row(kind):
    """Six convolutions of 16 channels, each with a ReLU."""
    net = nn.HybridSequential()
    for i in range(6):
        net.add(kind(16, 3, padding=1, in_channels=16 if i else 3), nn.Activation("relu"))
    return net


def compare(name, ours, theirs, size, mode, flags, seconds):
    blocks = {"ours": ours, "theirs": theirs}
    for block in blocks.values():
        block.initialize()
        if flags is not None:
            block.hybridize(**flags)
    times = in_turn(blocks, nd.random.normal(shape=(1, 3, size, size)), mode, seconds)
    figure, spread = ratio(*times.values())
    print(f"{name}, {size}x{size}: {figure:.2f} ± {spread:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4, help="for each line (%(default)s)")
    seconds = parser.parse_args().seconds
    on_one_core()
    ours, stock = MultiChannelConv2D, nn.Conv2D
    print(f"{cpu.model()}, AVX-512: {'yes' if cpu.has_avx512() else 'no'}, one thread")
    for size in (16, 64, 128):
        for mode in ("inference", "training"):
            by_hand = Joined(stock, copied=mode == "training")
            name = f"{mode}, hybridized, vs. nn.Conv2D" + " with a copy" * by_hand.copied
            compare(name, Joined(ours), by_hand, size, mode, STATIC, seconds)
        name = "training, eager, vs. nn.Conv2D with a copy"
        compare(name, Joined(ours), Joined(stock, True), size, "training", None, seconds)
        name = "training, eager, no concatenation"
        compare(name, in_a_row(ours), in_a_row(stock), size, "training", None, seconds)


if __name__ == "__main__":
    main()

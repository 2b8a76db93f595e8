"""The cost of checks and dispatch: a call of the layer and of `nn.Conv2D` on the chapter's arrays.

Each figure is a ratio of medians of calls that take turns, on one core: above 1, the layer is
faster. The last one is for the graph without a block around it, which no Python code can beat.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mxconv import MultiChannelConv2D
from timing import in_turn, on_one_core, ratio

from mxnet import nd
from mxnet.gluon import nn

X = nd.array([[[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]]])
KINDS = (MultiChannelConv2D, nn.Conv2D)
HYBRIDIZATION = {
    "eager": None,
    "hybridized": {},
    "static_alloc, static_shape": dict(static_alloc=True, static_shape=True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2, help="for each figure (%(default)s)")
    seconds = parser.parse_args().seconds
    on_one_core()
    for name, flags in HYBRIDIZATION.items():
        blocks = {kind: kind(3, kernel_size=2, in_channels=2) for kind in KINDS}
        for block in blocks.values():
            block.initialize()
            if flags is not None:
                block.hybridize(**flags)
        for mode in ("inference", "training"):
            ours, theirs = in_turn(blocks, X, mode, seconds).values()
            print("{}, {}: {:.2f} ± {:.2f}".format(name, mode, *ratio(ours, theirs)))
    stock = blocks[nn.Conv2D]
    parameters = [parameter.data() for parameter in stock.collect_params().values()]
    blocks = {"graph": lambda x: stock._cached_op(x, *parameters), "block": stock}
    graph, block = in_turn(blocks, X, "inference", seconds).values()
    print("the graph alone, {}: {:.2f} ± {:.2f}".format("inference", *ratio(graph, block)))


if __name__ == "__main__":
    main()

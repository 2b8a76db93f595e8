"""How much faster each algorithm is than `nn.Conv2D`, on the machine that it runs on.

Both are hybridized with static_alloc and static_shape, and timed in turn, call by call, on one
core. The figures are ratios of medians; more than 1 is faster than `nn.Conv2D`. `inference` waits
for the output, `read` for an operator that reads it, `training` for a forward and backward pass.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mxconv import MultiChannelConv2D
from mxconv.algorithms import unsupported
from mxconv.algorithms.rule import choose
from mxconv.dtypes import has_avx512
from mxconv.layer import geometry_of
import mxnet as mx
from mxnet import autograd, nd
from mxnet.gluon import nn
from tqdm import tqdm

ALGORITHMS = ("align", "tile", "pixels")
MODES = ("inference", "read", "training")
CASES = [  # name, size of the input, arguments
    ("filter 7x7", 256, dict(in_channels=1, channels=1, kernel_size=7, padding=3)),
    ("filter 15x15", 256, dict(in_channels=1, channels=1, kernel_size=15, padding=7)),
    ("filter 31x31", 128, dict(in_channels=1, channels=1, kernel_size=31, padding=15)),
    ("filter 3x3", 128, dict(in_channels=1, channels=1, kernel_size=3, padding=1)),
    ("3>3 15x15", 128, dict(in_channels=3, channels=3, kernel_size=15, padding=7)),
    ("3>1 5x5", 128, dict(in_channels=3, channels=1, kernel_size=5, padding=2)),
    ("head 64>3 9x9", 64, dict(in_channels=64, channels=3, kernel_size=9, padding=4)),
    ("head 64>2 5x5", 64, dict(in_channels=64, channels=2, kernel_size=5, padding=2)),
    ("head 64>1 3x3", 64, dict(in_channels=64, channels=1, kernel_size=3, padding=1)),
    ("head 64>4 3x3", 64, dict(in_channels=64, channels=4, kernel_size=3, padding=1)),
    ("head 128>4 3x3", 32, dict(in_channels=128, channels=4, kernel_size=3, padding=1)),
    ("64>8 3x3", 64, dict(in_channels=64, channels=8, kernel_size=3, padding=1)),
    ("64>12 3x3", 64, dict(in_channels=64, channels=12, kernel_size=3, padding=1)),
    ("128>12 3x3", 32, dict(in_channels=128, channels=12, kernel_size=3, padding=1)),
    ("36>36 3x3", 56, dict(in_channels=36, channels=36, kernel_size=3, padding=1)),
    ("512>84 3x3", 19, dict(in_channels=512, channels=84, kernel_size=3, padding=1)),
    ("64>21 1x1", 64, dict(in_channels=64, channels=21, kernel_size=1)),
    (
        "depthwise 58 3x3",
        28,
        dict(in_channels=58, channels=58, kernel_size=3, padding=1, groups=58),
    ),
    ("256>512 1x1, stride 2", 56, dict(in_channels=256, channels=512, kernel_size=1, strides=2)),
]


def call(block, x, mode):
    """Run a block once; the seconds that it took."""
    start = time.perf_counter()
    if mode == "training":
        with autograd.record():
            y = block(x)
        y.backward()
    else:
        y = block(x)
        y = y + 0 if mode == "read" else y
    nd.waitall()
    return time.perf_counter() - start


def ratios(blocks, x, mode, seconds):
    """Medians over calls in turn, for so many seconds: that of `nn.Conv2D` over each."""
    for block in blocks.values():
        call(block, x, mode), call(block, x, mode)
    times = {name: [] for name in blocks}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["nn.Conv2D"]) < 3:
        for name, block in blocks.items():
            times[name].append(call(block, x, mode))
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {name: medians["nn.Conv2D"] / median for name, median in medians.items()}


def blocks_of(arguments):
    """`nn.Conv2D` and the layer by each algorithm that is for it, initialized and hybridized."""
    blocks = {"nn.Conv2D": nn.Conv2D(**arguments)}
    core = geometry_of(blocks["nn.Conv2D"]).core
    for name in ALGORITHMS:
        if not unsupported(name, core) and not (name == "tile" and core.channels > 8):
            blocks[name] = MultiChannelConv2D(algorithm=name, **arguments)
    for block in blocks.values():
        block.initialize(mx.init.Normal(0.1))
        block.hybridize(static_alloc=True, static_shape=True)
    return blocks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="per figure (%(default)s)")
    seconds = parser.parse_args().seconds
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = []
    for name, size, arguments in tqdm(CASES, unit="convolution"):
        blocks = blocks_of(arguments)
        x = nd.random.normal(shape=(1, arguments["in_channels"], size, size))
        x.attach_grad()
        found = {mode: ratios(blocks, x, mode, seconds) for mode in MODES}
        core = geometry_of(blocks["nn.Conv2D"]).core
        chosen = choose(core, x.shape, x.dtype, has_avx512())
        rows += [
            (
                f"{name} @{size}",
                algorithm + " (auto)" * (algorithm == chosen),
                *(f"{found[mode][algorithm]:.2f}" for mode in MODES),
            )
            for algorithm in blocks
            if algorithm != "nn.Conv2D"
        ]
    print(f"| {'convolution':26} | algorithm     | {' | '.join(MODES)} |")
    print("|---|---|---:|---:|---:|")
    for name, algorithm, *figures in rows:
        print(f"| {name:26} | {algorithm:13} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()

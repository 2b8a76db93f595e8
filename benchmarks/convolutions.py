"""The speed of the layer relative to `nn.Conv2D`, on this machine.

Both are hybridized with static_alloc and static_shape, have the same parameters, and take turns,
call by call, on one core. Each figure is a ratio of medians: above 1, the layer is faster.
"""

import argparse
import json
import os
import subprocess
from dataclasses import asdict
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import report
from cases import CHOSEN, GROUPS, WHOLE, cases, short
from mxconv import MultiChannelConv2D, convert, count_cost
from mxconv.algorithms import ALGORITHMS
from mxconv.selection.rules import predict
from timing import MODES, in_turn, on_one_core, ratio

import mxnet as mx
import numpy as np
from mxnet import autograd, nd
from mxnet.gluon import nn
from tqdm import tqdm

STATIC = dict(static_alloc=True, static_shape=True)
STOCK = "nn.Conv2D"
CANDIDATES = "candidates"  # of each convolution, those that their records call worth timing


def main():
    options = _arguments()
    on_one_core()
    peak = peak_products()
    peer = Peer(options.torch) if options.torch else None
    rows = []
    # nn.Conv2D would take minutes for a batch of the filters.
    todo = [
        (n, case)
        for n in options.n
        for case in cases(options.groups)
        if n == 1 or case.group != "filters"
    ]
    for n, case in tqdm(todo, unit="convolution", disable=None):
        rows += measure(case, n, options.algorithms, options.seconds, peak, peer)
    todo = [(n, name) for n in options.n for name in options.networks]
    nets = [
        measure_network(name, n, options.seconds)
        for n, name in tqdm(todo, unit="network", disable=None)
    ]
    result = report.Report(rows, nets, peak, peer.version if peer else None)
    print(result)
    if options.docs:
        result.write()


def measure(case, n, algorithms, seconds, peak, peer):
    """Yield a row of figures for each algorithm that supports a case, for a batch of n images."""
    x = nd.random.normal(shape=(n, case.geometry.in_channels, *case.size))
    x.attach_grad()
    blocks = _blocks(case.geometry, _supported(algorithms, case.geometry, x))
    for block in blocks.values():
        block(x).wait_to_read()  # 'auto' chooses here, before the graph is traced
        block.hybridize(**STATIC)
    times = {mode: in_turn(blocks, x, mode, seconds) for mode in MODES}
    theirs = peer.medians(case.geometry, x.shape, seconds) if peer else {}
    products = count_cost(case.geometry, x.shape).forward.multiplications
    stock = blocks.pop(STOCK)
    taken = predict(case.geometry, x.shape, x.dtype, x.context)
    for name, block in blocks.items():
        own = {mode: median(times[mode][name]) for mode in MODES}
        yield {
            "group": case.group,
            "convolution": short(case.geometry, case.size),
            "n": n,
            "algorithm": block.chosen_algorithm,
            "taken": name == taken,  # by 'auto'; false for the row of 'auto' itself
            **{mode: ratio(times[mode][name], times[mode][STOCK]) for mode in MODES},
            "peak": products / own["inference"] / peak,
            "errors": _errors(block, stock, x, case.geometry)
            if _runs_another_operator(block)
            else (),
            "torch": {mode: seconds / own[mode] for mode, seconds in theirs.items()},
        }


def measure_network(name, n, seconds):
    """A row of figures for a whole network, with stock and with converted convolutions."""
    make, image = WHOLE[name]
    blocks = {STOCK: make(), "auto": make()}
    convert(blocks["auto"])
    x = nd.random.normal(shape=(n, *image))
    x.attach_grad()
    for block in blocks.values():
        block.initialize(mx.init.Xavier())
        block(x).wait_to_read()
        block.hybridize(**STATIC)
    times = {mode: in_turn(blocks, x, mode, seconds) for mode in MODES}
    ratios = {mode: ratio(times[mode]["auto"], times[mode][STOCK]) for mode in MODES}
    return {"network": name, "n": n, **ratios}


def peak_products():
    """Multiplications per second of MXNet's fastest matrix product, of 1024 x 1024 elements."""
    square = nd.random.normal(shape=(1024, 1024))
    product = nn.Dense(1024, use_bias=False, in_units=1024)
    product.initialize()
    product.hybridize(**STATIC)
    return 1024**3 / min(in_turn({"": product}, square, "inference", 0.5)[""])


class Peer:
    """PyTorch, in a process of its own that runs a Python with torch installed."""

    def __init__(self, python):
        script = os.path.join(os.path.dirname(__file__), "torch_peer.py")
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen([python, script], **pipes)
        self.version = self._answer()

    def medians(self, geometry, shape, seconds):
        """The median seconds of the faster memory layout, by mode."""
        arguments = dict(
            in_channels=geometry.in_channels,
            out_channels=geometry.channels,
            kernel_size=geometry.kernel_size,
            stride=geometry.strides,
            padding=geometry.padding,
            dilation=geometry.dilation,
            groups=geometry.groups,
        )
        question = dict(arguments=arguments, shape=shape, seconds=seconds)
        print(json.dumps(question), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} has ended: is torch installed there?")
        return json.loads(line)


def _supported(algorithms, geometry, x):
    """Those of the algorithms that support a convolution of x, with `CANDIDATES` spelled out."""
    supported = [name for name, record in ALGORITHMS.items() if not record.unsupported(geometry)]
    worth_timing = [
        name for name in supported if ALGORITHMS[name].worth_timing(geometry, x.shape, x.dtype)
    ]
    names = []
    for name in algorithms:
        names += worth_timing if name == CANDIDATES else [name]
    return [name for name in names if name in ("auto", *supported)]


def _blocks(geometry, algorithms):
    """`nn.Conv2D`, and the layer with each of the algorithms, all with the same parameters."""
    arguments = asdict(geometry)
    del arguments["padding_mode"]
    blocks = {STOCK: nn.Conv2D(**arguments)}
    for name in algorithms:
        blocks[name] = MultiChannelConv2D(algorithm=name, **arguments)
    for block in blocks.values():
        block.initialize(mx.init.Normal(0.1))
        block.weight.set_data(blocks[STOCK].weight.data())
    return blocks


def _runs_another_operator(block):
    """Whether the block runs another operator than `nn.Conv2D`."""
    return ALGORITHMS[block.chosen_algorithm].run is not ALGORITHMS["native"].run


def _errors(block, stock, x, geometry):
    """The norms of a block's errors in y, dx and dweight, divided by those of `nn.Conv2D`."""
    exact = _blocks(geometry, ())[STOCK]
    exact.cast("float64")
    exact.weight.set_data(stock.weight.data())
    dy = nd.random.normal(shape=stock(x).shape)
    expected = _results(exact, x.astype("float64"), dy.astype("float64"))
    ours, theirs = (
        [np.linalg.norm(actual - e) for actual, e in zip(_results(b, x, dy), expected)]
        for b in (block, stock)
    )
    return [our / their for our, their in zip(ours, theirs)]


def _results(block, x, dy):
    x.attach_grad()
    with autograd.record():
        y = block(x)
    y.backward(dy)
    return [array.asnumpy().astype("float64") for array in (y, x.grad, block.weight.grad())]


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    groups = dict.fromkeys((*GROUPS, *CHOSEN))
    about = "of convolutions (all but 'the rule', those on both sides of its thresholds)"
    add("--groups", nargs="+", choices=groups, default=GROUPS, help=about)
    about = f"to measure; {CANDIDATES!r}: those worth timing for each convolution ('auto')"
    add(
        "--algorithms",
        nargs="+",
        choices=("auto", CANDIDATES, *ALGORITHMS),
        default=("auto",),
        help=about,
    )
    add("--networks", nargs="*", choices=WHOLE, default=tuple(WHOLE), help="whole networks (all)")
    add("--n", nargs="+", type=int, default=(1, 16), help="images in a batch (1 and 16)")
    add("--seconds", type=float, default=0.3, help="per figure, at least (%(default)s)")
    add("--torch", metavar="PYTHON", help="a Python with torch installed, to compare with PyTorch")
    add("--docs", action="store_true", help="update docs/benchmarks.md and the plot")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""The measurements of one setting, in a process of its own, which convolutions.py starts.

It reads a job from its standard input as JSON, and writes what it measured to its standard output.
The setting is this process's environment: the kind of CPU kernels and the number of threads.

The layer and `nn.Conv2D` are hybridized with static_alloc and static_shape, have the same
parameters, and take turns, call by call. Each figure is a ratio of medians: above 1, the layer is
faster. What infers and what trains are separate blocks, since a layer may choose its algorithm once
for inference and once more when it is first recorded.
"""

import argparse
import datetime
import json
import sys
from dataclasses import asdict
from itertools import product
from statistics import median

from cases import FEW_CHANNELS, ONE_CHANNEL, cases, short
from mxconv import MultiChannelConv2D, _cpuinfo, convert, count_cost
from mxconv.algorithms import ALGORITHMS
from peer import Peer
from timing import MODES, in_turn, on_one_core, ratio
from zoo import ZOO

import mxnet as mx
import numpy as np
from mxnet import autograd, nd
from mxnet.gluon import nn
from tqdm import tqdm

STATIC = dict(static_alloc=True, static_shape=True)
STOCK = "nn.Conv2D"
CANDIDATES = "candidates"  # of each convolution, those that their records call worth timing
WHOLE = (  # networks
    "LeNet",
    "segmentation head on ResNet-18",
    "MobileNet-v2",
    "SRCNN",
    "U-Net 12/24/36",
    "U-Net 16/32/64",
)
CALLED_FIRST, AT_ONCE = "after a call", "at once"  # when a network is hybridized
COPIES = 3  # of a network for one image: equal ones differ by 1 or 2 %, so the spread is over them
ONE_IMAGE = (ONE_CHANNEL, FEW_CHANNELS)  # nn.Conv2D would take minutes for a batch of these
MAX_BATCH_PRODUCTS = 1.5e9  # multiplications; a batch that needs more isn't measured


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(json.dumps(measured(**json.load(sys.stdin))))


def measured(threads, groups, algorithms, networks, sizes, network_sizes, seconds, python):
    """Return what report.Setting holds, for convolutions and networks in batches of such sizes."""
    if threads == "one":
        on_one_core()
    peak = peak_products()
    peer = Peer(python, "torch_peer.py") if python else None
    rows = []
    todo = [(n, case) for n in sizes for case in cases(groups) if is_affordable(case, n)]
    for n, case in tqdm(todo, unit="convolution", disable=None):
        rows += measure(case, n, algorithms, seconds, peak, peer)
    todo = [(n, name) for n in network_sizes for name in networks]
    nets = []
    for n, name in tqdm(todo, unit="network", disable=None):
        nets += measure_network(name, n, seconds)
    return {
        "machine": {**machine(threads, peer), "peak": round(peak)},
        "convolutions": rows,
        "networks": nets,
    }


def machine(threads, peer):
    """Where and with what this process measures."""
    return {
        "cpu": _cpuinfo.model(),
        "kernels": "avx512" if _cpuinfo.has_avx512() else "avx2",
        "threads": threads,
        "cores": _cpuinfo.cores(),
        "mxnet": mx.__version__,
        "torch": peer.version if peer else None,
        "date": str(datetime.date.today()),
    }


def is_affordable(case, n):
    """Whether a batch of n images is measured; a single image always is."""
    shape = (n, case.geometry.in_channels, *case.size)
    products = count_cost(case.geometry, shape).forward.multiplications
    return n == 1 or (case.group not in ONE_IMAGE and products <= MAX_BATCH_PRODUCTS)


def measure(case, n, algorithms, seconds, peak, peer):
    """Yield a row of figures for each algorithm that supports a case, for a batch of n images."""
    x = nd.random.normal(shape=(n, case.geometry.in_channels, *case.size))
    x.attach_grad()
    names = _supported(algorithms, case.geometry, x)
    blocks, training_blocks = (_blocks(case.geometry, names) for _ in range(2))
    for block in blocks.values():
        start(block, x)
    for block in training_blocks.values():
        start(block, x, training=True)
    times = {
        mode: in_turn(training_blocks if mode == "training" else blocks, x, mode, seconds)
        for mode in MODES
    }
    theirs = torch_medians(peer, case.geometry, x.shape, seconds) if peer else {}
    products = count_cost(case.geometry, x.shape).forward.multiplications
    errors = _errors(training_blocks, x, case.geometry) if n == 1 else {}
    for name in names:
        own = {mode: median(times[mode][name]) for mode in MODES}
        yield {
            "group": case.group,
            "convolution": short(case.geometry, case.size),
            "n": n,
            "algorithm": blocks[name].chosen_algorithm,
            "in training": training_blocks[name].chosen_algorithm,
            **_ratios(times, name),
            "peak": round(products / own["inference"] / peak, 3),
            "errors": errors.get(name, []),
            "torch": {mode: round(seconds / own[mode], 3) for mode, seconds in theirs.items()},
        }


def measure_network(name, n, seconds):
    """Yield two rows of figures for a whole network: hybridized after a first call, and at once."""
    make, image = ZOO[name].make, ZOO[name].image
    x = nd.random.normal(shape=(n, *image))
    x.attach_grad()
    times = {mode: {STOCK: [], CALLED_FIRST: [], AT_ONCE: []} for mode in MODES}
    choices = {CALLED_FIRST: {}, AT_ONCE: {}}
    for copy, training in product(range(COPIES if n == 1 else 1), (False, True)):
        blocks, kinds = {}, (STOCK, CALLED_FIRST, AT_ONCE)
        for kind in (*kinds[copy:], *kinds[:copy]):  # each is built first once
            blocks[kind] = net = make()
            if kind != STOCK:
                convert(net)
            net.initialize(mx.init.Xavier())
            start(net, x, training, at_once=kind == AT_ONCE)
        share_parameters(blocks.values())
        for mode in MODES:
            if (mode == "training") == training:
                for kind, found in in_turn(blocks, x, mode, seconds).items():
                    times[mode][kind] += found
        for kind, found in choices.items():
            found["training" if training else "inference"] = _choices(blocks[kind])
    for kind, found in choices.items():
        yield {
            "network": name,
            "n": n,
            "hybridized": kind,
            **_ratios(times, kind),
            "choices": found,
            "same": found == choices[CALLED_FIRST],
        }


def start(block, x, training=False, at_once=False):
    """Call a block for the first time, when its layers choose, and hybridize it before or after."""
    if at_once:
        block.hybridize(**STATIC)
    if training:
        with autograd.record():
            y = block(x)
        y.backward()
    else:
        block(x)
    nd.waitall()
    if not at_once:
        block.hybridize(**STATIC)


def share_parameters(blocks):
    """Give all blocks the parameters of the first.

    Otherwise the same graph may take another time: MXNet's `clip`, which is ReLU6, branches on each
    value, and is six times slower for random signs than for equal ones. Copies of MobileNet-v2 with
    parameters of their own differ by up to 10 %, and always alike, because the seed is the same.
    """
    for parameters in zip(*(block.collect_params().values() for block in blocks)):
        values = parameters[0].data().copy()
        for parameter in parameters:  # the first one too, so that all of them are written anew
            parameter.set_data(values)


def peak_products():
    """Multiplications per second of MXNet's fastest matrix product, of 1024 x 1024 elements."""
    square = nd.random.normal(shape=(1024, 1024))
    dense = nn.Dense(1024, use_bias=False, in_units=1024)
    dense.initialize()
    dense.hybridize(**STATIC)
    return 1024**3 / min(in_turn({"": dense}, square, "inference", 0.5)[""])


def torch_medians(peer, geometry, shape, seconds):
    """PyTorch's median seconds in its faster memory layout, by mode."""
    arguments = dict(
        in_channels=geometry.in_channels,
        out_channels=geometry.channels,
        kernel_size=geometry.kernel_size,
        stride=geometry.strides,
        padding=geometry.padding,
        dilation=geometry.dilation,
        groups=geometry.groups,
    )
    return peer.ask(arguments=arguments, shape=shape, seconds=seconds)


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
    share_parameters(blocks.values())
    return blocks


def _ratios(times, name):
    """The ratio and spread of each mode, from the times of each mode and block."""
    return {
        mode: [round(value, 3) for value in ratio(times[mode][name], times[mode][STOCK])]
        for mode in MODES
    }


def _choices(net):
    """The algorithm of each layer of a network, in order, as its graph runs it."""
    found = []

    def collect(block):
        if isinstance(block, MultiChannelConv2D):
            name = block.chosen_algorithm
            found.append("native" if ALGORITHMS[name].eager_inference_only else name)

    net.apply(collect)
    return found


def _errors(blocks, x, geometry):
    """The norms of the errors in y, dx and dweight, divided by those of `nn.Conv2D`, by block.

    Blocks that run the same operator as `nn.Conv2D` are left out.
    """
    others = {
        name: block
        for name, block in blocks.items()
        if name != STOCK and ALGORITHMS[block.chosen_algorithm].run is not ALGORITHMS["native"].run
    }
    if not others:
        return {}
    exact = _blocks(geometry, ())[STOCK]
    exact.cast("float64")
    exact.weight.set_data(blocks[STOCK].weight.data())
    dy = nd.random.normal(shape=blocks[STOCK](x).shape)
    expected = _results(exact, x.astype("float64"), dy.astype("float64"))

    def norms(block):
        return [np.linalg.norm(a - e) for a, e in zip(_results(block, x, dy), expected)]

    theirs = norms(blocks[STOCK])
    return {
        name: [round(our / their, 2) for our, their in zip(norms(block), theirs)]
        for name, block in others.items()
    }


def _results(block, x, dy):
    x.attach_grad()
    with autograd.record():
        y = block(x)
    y.backward(dy)
    return [array.asnumpy().astype("float64") for array in (y, x.grad, block.weight.grad())]


if __name__ == "__main__":
    main()

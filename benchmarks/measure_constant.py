"""Convolutions with a constant weight in one setting, in a process that constant.py starts.

It reads a job from its standard input as JSON, and writes what it measured to its standard output.
"""

import argparse
import json
import sys
from contextlib import redirect_stdout
from statistics import median

import mxconv
from cases import cases, short
from measure import STATIC, machine, torch_medians
from mxconv.inference.choosing import INPUT, candidates, piece
from mxconv.inference.convolutions import tasks_of
from mxconv.inference.graph import Graph
from mxconv.selection.timing import measure, not_far_slower
from peer import Peer
from timing import in_turn, on_one_core

import mxnet as mx
from mxnet import nd, sym
from mxnet.gluon import nn
from tqdm import tqdm

NATIVE, STOCK, OURS = "native", "nn.Conv2D", "for_inference"


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with redirect_stdout(sys.stderr):
        found = measured(**json.load(sys.stdin))
    print(json.dumps(found))


def measured(threads, groups, whole_groups, seconds, python):
    """Return the machine, and a row for each convolution.

    Of those in `whole_groups`, a network of the convolution alone is measured as well.
    """
    if threads == "one":
        on_one_core()
    peer = Peer(python, "torch_peer.py") if python else None
    distinct = {}
    for case in cases(groups):  # those of a later group too are rows of the first one
        distinct.setdefault((case.geometry, case.size), case)
    rows = []
    for case in tqdm(distinct.values(), unit="convolution", disable=None):
        row = {"group": case.group, "convolution": short(case.geometry, case.size)}
        shape = (1, case.geometry.in_channels, *case.size)
        row["gains"] = gains(case.geometry, shape, seconds)
        if case.group in whole_groups:
            row.update(whole(case.geometry, shape, seconds, peer))
        rows.append(row)
    return {"machine": machine(threads, peer), "rows": rows}


def gains(geometry, shape, seconds):
    """How many times faster than 'native' each candidate is, {name: (inference, read)}."""
    values = {
        "weight": nd.random.normal(shape=geometry.weight_shape),
        "bias": nd.random.normal(shape=(geometry.channels,)),
    }
    symbols = map(sym.var, (INPUT, *values))
    graph = Graph(sym.Convolution(*symbols, no_bias=False, **geometry.op_attrs), values)
    ((node, task),) = tasks_of(graph, {INPUT: shape}).items()
    names = candidates(task)
    if not names:
        return {}
    runs = {name: piece(graph, node, task, name, False, False) for name in (NATIVE, *names)}
    x = nd.random.normal(shape=shape)
    quick = not_far_slower(names, runs.get, x)
    times = measure({name: runs[name] for name in (NATIVE, *quick)}, x, None, seconds)
    medians = {name: [median(column) for column in zip(*t)] for name, t in times.items()}
    native = medians.pop(NATIVE)
    return {name: [round(a / b, 2) for a, b in zip(native, t)] for name, t in medians.items()}


def whole(geometry, shape, seconds, peer):
    """How many times faster `for_inference` makes a network of one convolution, and PyTorch's."""
    attributes = {key: value for key, value in geometry.op_attrs.items() if key != "num_filter"}
    names = dict(kernel="kernel_size", stride="strides", pad="padding", dilate="dilation")
    names.update(num_group="groups", layout="layout")
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(
            geometry.channels,
            in_channels=geometry.in_channels,
            **{names[key]: value for key, value in attributes.items()},
        )
    )
    net.initialize(mx.init.Normal(1))
    x = nd.random.normal(shape=shape)
    blocks = {STOCK: net, OURS: mxconv.for_inference(net, x, seconds=seconds)}
    net.hybridize(**STATIC)
    net(x)
    times = {mode: in_turn(blocks, x, mode, seconds) for mode in ("inference", "read")}
    own = {mode: median(found[OURS]) for mode, found in times.items()}
    row = {mode: round(median(found[STOCK]) / own[mode], 2) for mode, found in times.items()}
    if peer:
        theirs = torch_medians(peer, geometry, shape, seconds)
        row["torch"] = round(theirs["inference"] / own["inference"], 2)
    return row


if __name__ == "__main__":
    main()

"""The measurements of one network in one setting, in a process that networks.py starts.

It reads a job from its standard input as JSON, and writes what it measured to its standard output.
The setting is this process's environment: the kind of CPU kernels and the number of threads.

All sides have the same parameters and get the same images. MXNet's take turns, call by call. Since
PyTorch is another process, it has its turn after each part of their rounds.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median

import mxconv
from measure import STATIC, machine, share_parameters
from peer import Peer
from timing import in_turn, on_one_core, outputs, ratio
from zoo import ZOO, initialized

import numpy as np

STOCK_STATIC, STOCK_FUSED, OURS = "static", "fused", "for_inference"
PARTS = 3  # of the rounds
MAX_DIFFERENCE = 1e-4  # from PyTorch's outputs, relative to the largest; above, it isn't the same


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with redirect_stdout(sys.stderr):  # progress and the like: only the result goes to stdout
        found = measured(**json.load(sys.stdin))
    print(json.dumps(found))


def measured(threads, network, sizes, seconds, python):
    """Return what networks_report.NetworkResults holds, for batches of such sizes."""
    if threads == "one":
        on_one_core()
    peer = Peer(python, "torch_networks.py", "torch and onnx2torch") if python else None
    rows = [measure(network, n, seconds, peer) for n in sizes]
    return {"machine": machine(threads, peer), "networks": rows}


def measure(name, n, seconds, peer=None):
    """The row of figures of a network for a batch of n images."""
    net, x = initialized(name, n)
    without = ZOO[name].only_mxnet if peer else ""
    expected = [y.asnumpy() for y in outputs(net(x))]
    theirs = None
    if peer and not without:
        without, theirs = load_there(peer, net, x, expected)
        if not without and not theirs <= MAX_DIFFERENCE:  # NaN isn't the same either
            without = f"its outputs differ by {theirs:.1e}"
    blocks, built = sides(name, net, x)
    difference = largest_difference([y.asnumpy() for y in outputs(blocks[OURS](x))], expected)
    times = {side: [] for side in blocks}
    torch_times = {}
    for _ in range(PARTS):
        for side, found in in_turn(blocks, x, "read", seconds / PARTS).items():
            times[side] += found
        if peer and not without:
            for way, found in peer.ask(seconds=seconds / PARTS).items():
                torch_times.setdefault(way, []).extend(found)
    own = times[OURS]
    return {
        "network": name,
        "n": n,
        "ms": round(1e3 * median(own), 3),
        **{
            side: [
                round(figure, 3) for figure in (*ratio(own, times[side]), least(own, times[side]))
            ]
            for side in (STOCK_STATIC, STOCK_FUSED)
        },
        "torch": {
            way: [round(median(found) / median(own), 3), round(least(own, found), 3)]
            for way, found in torch_times.items()
        },
        "without torch": without,
        "difference": difference,
        "torch difference": theirs,
        "seconds": round(built, 1),
        "report": str(blocks[OURS].report),
    }


def sides(name, net, x):
    """The blocks to compare, each called once, and the seconds that `for_inference` took."""
    fused = ZOO[name].make()
    fused.initialize()
    share_parameters([net, fused])
    fused.optimize_for(x, backend="MKLDNN", **STATIC)
    net.hybridize(**STATIC)
    net(x)
    start = time.perf_counter()
    ours = mxconv.for_inference(net, x)
    return {STOCK_STATIC: net, STOCK_FUSED: fused, OURS: ours}, time.perf_counter() - start


def load_there(peer, net, x, expected):
    """Let PyTorch load the network: why it can't, if so, and how much its outputs differ."""
    with tempfile.TemporaryDirectory() as folder:
        mxconv.export_onnx(net, f"{folder}/net.onnx", x.shape, check=False)
        np.save(f"{folder}/x.npy", x.asnumpy())
        reason = peer.ask(folder=folder)
        found = [list(np.load(path).values()) for path in Path(folder).glob("*.npz")]
        return reason, max((largest_difference(ys, expected) for ys in found), default=None)


def largest_difference(ys, expected):
    """The largest difference of any output, relative to the largest value of that output.

    Other numbers or shapes of outputs differ by infinity, and NaN stays NaN.
    """
    if [y.shape for y in ys] != [e.shape for e in expected]:
        return float("inf")
    return float(np.max([abs(y - e).max() / abs(e).max() for y, e in zip(ys, expected)]))


def least(times, others):
    """The speed-up of the fastest call over the fastest of others."""
    return min(others) / min(times)


if __name__ == "__main__":
    main()

"""The speed-up that the settings of `mxconv.cpu` give `nn.Conv2D`, on this machine.

Processes with and without a setting run in turn, on one core. Each figure is a ratio of medians:
above 1, the setting makes calls faster. The line after it gives the memory that a process holds
after its calls, and the maximum that it held, as medians, with the setting and without it.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mxconv import cpu
from mxconv.dtypes import BFLOAT16
from timing import call, on_one_core

import mxnet as mx
from mxnet import nd
from mxnet.gluon import nn
from tqdm import tqdm

MODES = ("inference", "training")
CASES = {  # setting: (dtype, size and number of images, arguments of the layer)
    "keep_large_buffers": ("float32", 224, 16, dict(in_channels=3, channels=64)),
    "use_amx": (BFLOAT16, 56, 1, dict(in_channels=64, channels=64)),
}


def measure(options):
    """Print the median seconds of a call in this process, and the memory that it holds in MB."""
    dtype, size, n, arguments = CASES[options.measure]
    if options.on:
        getattr(cpu, options.measure)()
    layer = nn.Conv2D(kernel_size=3, padding=1, **arguments)
    layer.initialize(mx.init.Normal(0.1))
    layer.cast(dtype)
    layer.hybridize(static_alloc=True, static_shape=True)
    shape = (options.images or n, arguments["in_channels"], size, size)
    x = nd.random.normal(shape=shape).astype(dtype)
    times = [call(layer, x, options.mode) for _ in range(options.calls + 2)]
    nd.waitall()
    with open("/proc/self/statm", encoding="ascii") as file:
        held = int(file.read().split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(statistics.median(times[2:]), held / 2**20, most / 2**20)


def compare(name, mode, rounds):
    """Medians of what `measure` prints, without and with the setting, from processes in turn."""
    printed = {False: [], True: []}
    for _ in range(rounds):
        for on in printed:
            what = ["--measure", name, "--mode", mode] + ["--on"] * on
            line = subprocess.check_output([sys.executable, *sys.argv, *what])
            printed[on].append([float(figure) for figure in line.split()])
    return [[statistics.median(column) for column in zip(*lines)] for lines in printed.values()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rounds", type=int, default=3, help="processes with and without (%(default)s)"
    )
    parser.add_argument("--calls", type=int, default=7, help="calls in each process (%(default)s)")
    parser.add_argument("--images", type=int, help="in a batch (depends on the setting)")
    parser.add_argument("--measure", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    parser.add_argument("--on", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return measure(options)
    on_one_core()
    settings = {name: getattr(cpu, name)() for name in (*CASES, "openblas_kernel")}
    figures = [
        (name, mode, *compare(name, mode, options.rounds))
        for name in tqdm([name for name in CASES if settings[name]], unit="setting", disable=None)
        for mode in MODES
    ]
    for name, setting in settings.items():
        print(f"{name}: {setting}")
    for name, mode, without, with_it in figures:
        print(f"{name}, {mode}: {without[0] / with_it[0]:.2f}")
        text = "  MB at the end and peak: {:.0f}, {:.0f}; without it {:.0f}, {:.0f}"
        print(text.format(*with_it[1:], *without[1:]))


if __name__ == "__main__":
    main()

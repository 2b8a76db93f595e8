"""The speed of whole networks for inference on this machine: ours, MXNet's own, and PyTorch's.

Compared are `mxconv.for_inference`, the network hybridized with static_alloc and static_shape, the
same with MXNet's own fusion, and a frozen PyTorch module with the same weights. Each network and
setting, a kind of kernels and a number of threads, is measured in a process of its own; see
measure_networks.py for how, and networks_report.py for what the figures mean.
"""

import argparse
import sys

import report
import settings
from networks_report import NetworkResults
from zoo import ZOO, missing

from tqdm import tqdm

SHORT = ("LeNet", "ResNet-18", "MobileNet-v2", "SRCNN", "U-Net 12/24/36", "U-Net 16/32/64")
EVERY = "all"
SECONDS = 6


def main():
    options = _arguments()
    chosen = list(ZOO) if EVERY in options.networks else options.networks
    lacking = {name: missing(name) for name in chosen if missing(name)}
    for name, package in lacking.items():
        print(f"not measured, it needs {package}: {name}", file=sys.stderr)
    chosen = [name for name in chosen if name not in lacking]
    found, failed = [], []
    for kernels, threads in settings.chosen(options):
        results, names = measured(kernels, threads, chosen, options)
        found += results
        failed += names
        if options.docs:
            for result in results:
                result.completed().save()
    print("\n\n".join(map(str, found)))
    if options.docs:
        report.write_page()
    if failed:
        raise SystemExit(f"the measurement has failed: {', '.join(failed)}")


def measured(kernels, threads, names, options):
    """The results of a setting, in a list that is empty if every network fails; and which fail."""
    found, failed = {}, []
    for name in tqdm(names, unit="network", disable=None):
        job = dict(network=name, sizes=options.sizes, seconds=options.seconds, python=options.torch)
        found[name] = settings.measured("measure_networks.py", kernels, threads, **job)
        if found[name] is None:
            failed.append(name)
    done = [result for result in found.values() if result]
    rows = [row for result in done for row in result["networks"]]
    rows.sort(key=lambda row: options.sizes.index(row["n"]))
    return [NetworkResults(done[0]["machine"], rows)] if done else [], failed


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    settings.add_arguments(parser, "one core, or all (%(default)s)")
    about = f"whole networks; {EVERY!r}: every one (a short selection)"
    add("--networks", nargs="+", choices=(EVERY, *ZOO), default=SHORT, help=about)
    add("--sizes", nargs="+", type=int, default=[1], help="images in a batch (%(default)s)")
    about = "for the rounds of each network and size, at least (%(default)s)"
    add("--seconds", type=float, default=SECONDS, help=about)
    about = "a Python with torch, onnx and onnx2torch installed, to compare with PyTorch"
    add("--torch", metavar="PYTHON", help=about)
    about = "write benchmarks/results/ (of some networks only these) and docs/benchmarks.md"
    add("--docs", action="store_true", help=about)
    return parser.parse_args()


if __name__ == "__main__":
    main()

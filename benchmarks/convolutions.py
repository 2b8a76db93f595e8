"""The speed of the layer relative to `nn.Conv2D`, on this machine, for both kinds of CPU kernels.

Each setting, a kind of kernels and a number of threads, is measured in a process of its own; see
measure.py for how, and report.py for what the figures mean.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import report
from cases import CHOSEN, GROUPS, WHOLE
from measure import CANDIDATES
from mxconv import _cpuinfo
from mxconv.algorithms import ALGORITHMS

HERE = Path(__file__).resolve().parent
# The environment of each setting. PyTorch's oneDNN reads the first two, and ATen the third.
AVX2 = {"DNNL_MAX_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
KERNELS = {"avx512": {}, "avx2": AVX2}
# MXNet alone would take half of the cores that the system has, so all of them are asked for.
THREADS = {"one": {"OMP_NUM_THREADS": "1"}, "all": {"OMP_NUM_THREADS": str(_cpuinfo.cores())}}
RULE = dict(groups=["the rule"], algorithms=[CANDIDATES], networks=[])
SECONDS, RULE_SECONDS = 0.12, 0.05  # the rule has many algorithms to measure


def main():
    options = _arguments()
    settings = []
    for kernels in options.kernels:
        if kernels == "avx512" and not _cpuinfo.has_avx512():
            print("not measured, this CPU lacks them: AVX-512 kernels", file=sys.stderr)
            continue
        for threads in options.threads:
            print(f"{kernels}, threads: {threads}", file=sys.stderr)
            setting = measured(kernels, threads, options)
            settings.append(setting)
            if options.rule:
                suffix = "-avx2" * (kernels == "avx2") + "-all" * (threads == "all")
                (HERE / f"rule{suffix}.md").write_text(f"{setting}\n", encoding="utf-8")
            elif options.docs:
                everything = (*options.groups, *options.networks) == (*GROUPS, *WHOLE)
                (setting if everything else setting.completed()).save()
    print("\n\n".join(map(str, settings)))
    if options.docs:
        report.write()


def measured(kernels, threads, options):
    """Return the `report.Setting` that a process of its own measures."""
    variables = {name for setting in (*KERNELS.values(), *THREADS.values()) for name in setting}
    inherited = {name: value for name, value in os.environ.items() if name not in variables}
    job = dict(
        threads=threads,
        groups=options.groups,
        algorithms=options.algorithms,
        networks=options.networks,
        sizes=options.n if threads == "one" or options.rule else options.n[:1],
        network_sizes=options.n,
        seconds=options.seconds or (RULE_SECONDS if options.rule else SECONDS),
        python=options.torch,
    )
    done = subprocess.run(
        [sys.executable, str(HERE / "measure.py")],
        env={**inherited, **KERNELS[kernels], **THREADS[threads]},
        input=json.dumps({**job, **(RULE if options.rule else {})}),
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit("the measurement has failed")
    return report.Setting(**json.loads(done.stdout))


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    own = "avx512" if _cpuinfo.has_avx512() else "avx2"
    add("--kernels", nargs="+", choices=KERNELS, default=[own], help="of oneDNN (%(default)s)")
    about = "one core, or all, with the first --n only for convolutions (%(default)s)"
    add("--threads", nargs="+", choices=THREADS, default=["one"], help=about)
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
    about = f"per figure, at least ({SECONDS}; for the rule {RULE_SECONDS})"
    add("--seconds", type=float, help=about)
    add("--torch", metavar="PYTHON", help="a Python with torch installed, to compare with PyTorch")
    to = parser.add_mutually_exclusive_group()
    about = "write benchmarks/results/ (of some groups only these), docs/benchmarks.md and the plot"
    to.add_argument("--docs", action="store_true", help=about)
    about = "measure the evidence for the rules: write benchmarks/rule.md, rule-avx2.md"
    to.add_argument("--rule", action="store_true", help=about)
    return parser.parse_args()


if __name__ == "__main__":
    main()

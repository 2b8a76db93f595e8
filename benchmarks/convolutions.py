"""The speed of the layer relative to `nn.Conv2D`, on this machine, for both kinds of CPU kernels.

Each setting, a kind of kernels and a number of threads, is measured in a process of its own; see
measure.py for how, and report.py for what the figures mean.
"""

import argparse

import report
import settings
from cases import CHOSEN, GROUPS
from measure import CANDIDATES, WHOLE
from mxconv.algorithms import ALGORITHMS

RULE = dict(groups=["the rule"], algorithms=[CANDIDATES], networks=[])
SECONDS, RULE_SECONDS = 0.12, 0.05  # the rule has many algorithms to measure


def main():
    options = _arguments()
    found = []
    for kernels, threads in settings.chosen(options):
        setting = measured(kernels, threads, options)
        found.append(setting)
        if options.rule:
            suffix = "-avx2" * (kernels == "avx2") + "-all" * (threads == "all")
            (settings.HERE / f"rule{suffix}.md").write_text(f"{setting}\n", encoding="utf-8")
        elif options.docs:
            everything = (*options.groups, *options.networks) == (*GROUPS, *WHOLE)
            (setting if everything else setting.completed()).save()
    print("\n\n".join(map(str, found)))
    if options.docs:
        report.write()


def measured(kernels, threads, options):
    """Return the `report.Setting` that a process of its own measures."""
    job = dict(
        groups=options.groups,
        algorithms=options.algorithms,
        networks=options.networks,
        sizes=options.n if threads == "one" or options.rule else options.n[:1],
        network_sizes=options.n,
        seconds=options.seconds or (RULE_SECONDS if options.rule else SECONDS),
        python=options.torch,
    )
    rule = RULE if options.rule else {}
    found = settings.measured("measure.py", kernels, threads, **{**job, **rule})
    if found is None:
        raise SystemExit("the measurement has failed")
    return report.Setting(**found)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    about = "one core, or all, with the first --n only for convolutions (%(default)s)"
    settings.add_arguments(parser, about)
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
    add("--networks", nargs="*", choices=WHOLE, default=WHOLE, help="whole networks (all)")
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

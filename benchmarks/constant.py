"""How much faster convolutions are where the weight is constant, and so is rearranged once.

Written to benchmarks/constant.md: what `for_inference` makes of networks of one convolution, and
the evidence for what it chooses by the rules.
"""

import argparse
from statistics import geometric_mean

import settings
from cases import CHOSEN, ONE_CHANNEL
from pages import KERNELS, MEASURED, THREADS, markdown

PAGE = settings.HERE / "constant.md"
NONE = "–"
WHOLE = (ONE_CHANNEL, "heads", "strided, grouped and dilated heads", "odd channels")
INTRODUCTION = """\
# Convolutions with a constant weight

One image. `make rule` measures it.

- `inference` and `read`: how many times faster `for_inference` makes a network that is one
  convolution of `nn.Conv2D`, hybridized with both static flags: until the output is computed, and
  until another operator has read it. `torch`: the time of PyTorch, in the faster of its two memory
  layouts, over ours.
- The other columns: how many times faster each algorithm is than 'native', its weight rearranged
  beforehand, until the output is computed / until it has been read. They are the evidence for the
  limits called `constant` in mxconv/selection/rules/."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    settings.add_arguments(parser, "one core, or all (%(default)s)")
    parser.add_argument("--groups", nargs="+", choices=CHOSEN, default=list(CHOSEN))
    parser.add_argument("--seconds", type=float, default=0.3, help="per figure (%(default)s)")
    parser.add_argument("--torch", metavar="PYTHON", help="a Python with torch installed")
    parser.add_argument("--docs", action="store_true", help="write benchmarks/constant.md")
    options = parser.parse_args()
    parts = [INTRODUCTION]
    for kernels, threads in settings.chosen(options):
        job = dict(groups=options.groups, seconds=options.seconds, python=options.torch)
        found = settings.measured(
            "measure_constant.py", kernels, threads, whole_groups=WHOLE, **job
        )
        if found is None:
            raise SystemExit("the measurement has failed")
        parts += page(found)
    text = "\n\n".join(parts) + "\n"
    if options.docs:
        PAGE.write_text(text, encoding="utf-8")
    print(text)


def page(found):
    """The parts of the page for one setting."""
    machine, rows = found["machine"], found["rows"]
    about = {
        **machine,
        "kernels": KERNELS[machine["kernels"]],
        "threads": THREADS[machine["threads"]],
    }
    torch = f" PyTorch is {machine['torch']}." * bool(machine["torch"])
    yield f"## {about['kernels']}, {about['threads']}"
    yield MEASURED.format(**about) + torch
    whole = [row for row in rows if "read" in row]
    figures = [name for name in ("inference", "read", "torch") if any(name in r for r in whole)]
    if whole:
        groups = dict.fromkeys(row["group"] for row in whole)
        yield markdown(("geometric mean", *figures), [mean(whole, g, figures) for g in groups])
    names = list(dict.fromkeys(name for row in rows for name in row["gains"]))
    lines = [
        (
            row["convolution"],
            *(f"{row[figure]:.2f}" if figure in row else NONE for figure in figures),
            *(pair(row["gains"].get(name)) for name in names),
        )
        for row in rows
    ]
    yield markdown(("convolution", *figures, *names), lines)


def pair(gains):
    """Two gains in a cell, or a dash."""
    return "{:.2f} / {:.2f}".format(*gains) if gains else NONE


def mean(rows, group, figures):
    """A row of geometric means, with minima in parentheses."""
    cells = []
    for figure in figures:
        values = [row[figure] for row in rows if row["group"] == group and figure in row]
        cells.append(f"{geometric_mean(values):.2f} ({min(values):.2f})" if values else "")
    return (group, *cells)


if __name__ == "__main__":
    main()

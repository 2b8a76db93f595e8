"""The report of convolutions.py: tables of its measurements, their summary, and the plot."""

import re
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import Optional

from mxconv.selection.record import machine
from timing import MODES

ROOT = Path(__file__).resolve().parent.parent
COLORS = dict(zip(MODES, ("#1f6fb4", "#e0842c", "#3a8f4f")))
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)

MEANING = """\
Measured on {machine}, one core, float32.

Each figure is the time of `nn.Conv2D` divided by the layer's: above 1, the layer is faster. ± is
half the interquartile range over single calls. `inference` waits for the output, `read` also for an
operator that reads it, `training` for a forward and a backward pass. `peak` is the layer's
throughput in inference as a share of that of MXNet's fastest matrix product, {gflops:.0f} GFLOP/s.
`errors` are the errors of y, dx and dweight relative to float64, divided by those of `nn.Conv2D`.
The summary gives the geometric mean of each group and, in parentheses, its minimum."""
NOISE = """
With 'native', and in training with 'train_layout', both sides run the same operator. There the
differences are noise: {:.2f} to {:.2f}, nine in ten of them {:.2f} to {:.2f}."""
TAKEN = """
`(auto)` marks the algorithm that 'auto' takes, where that isn't 'native'."""
TORCH = """
`torch` is the time of PyTorch {version}, in the faster of its two memory layouts and in a process
of its own, divided by the layer's."""


@dataclass
class Report:
    """Measurements of convolutions and of whole networks, as Markdown and as a plot.

    Attributes
    ----------
    rows, networks : list of dict
        A row for each convolution, batch size and algorithm, as `convolutions.measure` yields
        them, and for each network and batch size, as `convolutions.measure_network` returns them.
    peak : float
        Multiplications per second of MXNet's fastest matrix product.
    torch : None or str
        The version of PyTorch, if it was measured too.
    """

    rows: list
    networks: list
    peak: float
    torch: Optional[str]

    def __str__(self):
        parts = [self.meaning(), self.convolutions(), *[self.whole()] * bool(self.networks)]
        return "\n\n".join([*parts, self.summary()])

    def meaning(self):
        """What the figures mean, and where they were measured."""
        gflops = 2e-9 * self.peak  # a multiplication and an addition each
        text = MEANING.format(machine=machine(), gflops=gflops) + self.noise()
        if any(row["taken"] for row in self.rows):
            text += TAKEN
        return text + TORCH.format(version=self.torch) if self.torch else text

    def noise(self):
        """The range of the figures where both sides run the same operator, if there are any."""
        same = {"native": MODES, "train_layout": ["training"]}
        found = sorted(row[mode][0] for row in self.rows for mode in same.get(row["algorithm"], ()))
        if not found:
            return ""
        nine_in_ten = found[len(found) // 20 : len(found) - len(found) // 20]
        return NOISE.format(found[0], found[-1], nine_in_ten[0], nine_in_ten[-1])

    def convolutions(self):
        """A line for each convolution, batch size and algorithm."""
        titles = ("group", "convolution", "n", "algorithm", *MODES, "peak", "errors")
        lines = [
            (
                *(row[title] for title in titles[:3]),
                row["algorithm"] + " (auto)" * row["taken"],
                *(_with_spread(*row[mode]) for mode in MODES),
                f"{100 * row['peak']:.0f} %",
                " ".join(f"{error:.1f}" for error in row["errors"]) or "–",
                *(f"{value:.2f}" for value in row["torch"].values()),
            )
            for row in self.rows
        ]
        return _markdown((*titles, *self._torch_titles()), lines)

    def whole(self):
        """A line for each network and batch size."""
        lines = [
            (net["network"], net["n"], *(_with_spread(*net[mode]) for mode in MODES))
            for net in self.networks
        ]
        return _markdown(("whole network", "n", *MODES), lines)

    def summary(self):
        """A line for each group: geometric means and, in parentheses, minima of its rows."""
        groups = {row["group"]: [] for row in self.rows}
        for row in self.rows:
            groups[row["group"]].append(row)
        groups["all"] = self.rows
        titles = ("convolutions", "rows", "not 'native'", *MODES, *self._torch_titles())
        return _markdown(titles, [self._means(name, rows) for name, rows in groups.items()])

    def _means(self, name, rows):
        columns = [[row[mode][0] for row in rows] for mode in MODES]
        columns += [[row["torch"][mode] for row in rows] for mode in rows[0]["torch"]]
        means = [f"{geometric_mean(values):.2f} ({min(values):.2f})" for values in columns]
        return (name, len(rows), sum(row["algorithm"] != "native" for row in rows), *means)

    def _torch_titles(self):
        return [f"torch, {mode}" for mode in (self.rows[0]["torch"] if self.rows else ())]

    def write(self):
        """Write docs/benchmarks.md and its plot."""
        self.plot(ROOT / "docs" / "figures" / "benchmarks.png")
        page = (
            "# Benchmarks against nn.Conv2D, convolution by convolution",
            "`make bench` prints this for your machine.",
            self.meaning(),
            "![Ratios of all convolutions, group by group](figures/benchmarks.png)",
            self.summary(),
            self.whole(),
            self.convolutions(),
        )
        (ROOT / "docs" / "benchmarks.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")

    def plot(self, path):
        """Draw the ratio of every convolution, group by group."""
        import matplotlib.pyplot as plt

        groups = list(dict.fromkeys(row["group"] for row in self.rows))
        figure, axes = plt.subplots(figsize=(9, 4.5), constrained_layout=True)
        for shift, mode in zip((-0.25, 0, 0.25), MODES):
            places = [groups.index(row["group"]) + shift for row in self.rows]
            ratios = [row[mode][0] for row in self.rows]
            axes.plot(places, ratios, "o", color=COLORS[mode], alpha=0.5, label=mode)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_yscale("log")
        axes.set_yticks(TICKS)
        axes.set_yticklabels(f"{tick:g}" for tick in TICKS)
        axes.minorticks_off()
        axes.set_xticks(range(len(groups)))
        axes.set_xticklabels(groups, rotation=25, ha="right")
        axes.set_ylabel("times as fast as nn.Conv2D")
        axes.legend(frameon=False)
        figure.savefig(path, dpi=120)
        plt.close(figure)


def put_between_markers(path, name, text):
    """Replace the text between the markers of this name on a page."""
    marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    content, times = marked.subn(
        lambda marks: f"{marks[1]}\n{text}\n\n{marks[2]}", path.read_text(encoding="utf-8")
    )
    if times != 1:
        raise ValueError(f"expected one <!-- {name} --> in {path}, found {times}")
    path.write_text(content, encoding="utf-8")


def _with_spread(ratio, spread):
    return f"{ratio:.2f} ± {spread:.2f}"


def _markdown(titles, lines):
    """A table whose columns are right-aligned if their first entry begins with a digit."""
    numbers = [str(entry)[:1].isdigit() for entry in lines[0]] if lines else [False] * len(titles)
    rule = ["---:" if number else "---" for number in numbers]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (titles, rule, *lines))

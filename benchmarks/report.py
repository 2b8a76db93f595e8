"""What convolutions.py has measured: its tables, the means and minima, and the plot."""

import re
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import Optional

from mxconv.tuning import machine
from timing import MODES

ROOT = Path(__file__).resolve().parent.parent
COLOURS = dict(zip(MODES, ("#1f6fb4", "#e0842c", "#3a8f4f")))
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)

MEANING = """\
Measured on {machine}, one core, float32.

The figures are times of `nn.Conv2D` over the layer's: more than 1 is faster. ± is half the distance
between the quartiles over single calls. `inference` waits for the output, `read` for an operator
that reads it, `training` for a forward and a backward pass. `peak` is the share of MXNet's fastest
matrix product, {gflops:.0f} GFLOP/s, that the layer reaches in inference. `errors` are the layer's
errors relative to float64, of y, dx and dweight, over those of `nn.Conv2D`."""
NOISE = """ With 'direct', and in
training with 'blocked', both run the same operator. What differs there is noise:
{:.2f} to {:.2f}, nine in ten of them {:.2f} to {:.2f}."""
TAKEN = """
`(auto)` is behind what 'auto' takes, where that isn't 'direct'."""
TORCH = """
`torch` is the time of PyTorch {version}, in the faster of its two layouts and in a process of its
own, over the layer's."""


@dataclass
class Report:
    """Rows of convolutions and of whole networks."""

    rows: list
    networks: list
    peak: float  # products per second
    torch: Optional[str]  # its version

    def __str__(self):
        parts = [self.meaning(), self.convolutions(), *[self.whole()] * bool(self.networks)]
        return "\n\n".join([*parts, self.summary()])

    def meaning(self):
        """What the figures are, and where they were measured."""
        text = MEANING.format(machine=machine(), gflops=2e-9 * self.peak) + self.noise()
        if any(row["taken"] for row in self.rows):
            text += TAKEN
        return text + TORCH.format(version=self.torch) if self.torch else text

    def noise(self):
        """The figures where both sides are the same operator, if any: their range, and of 90 %."""
        same = {"direct": MODES, "blocked": ["training"]}
        found = sorted(row[mode][0] for row in self.rows for mode in same.get(row["algorithm"], ()))
        if not found:
            return ""
        most = found[len(found) // 20 : len(found) - len(found) // 20]
        return NOISE.format(found[0], found[-1], most[0], most[-1])

    def convolutions(self):
        """A line per convolution, size of batch and algorithm."""
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
        """A line per network and size of batch."""
        lines = [
            (net["network"], net["n"], *(_with_spread(*net[mode]) for mode in MODES))
            for net in self.networks
        ]
        return _markdown(("whole network", "n", *MODES), lines)

    def summary(self):
        """A line per group, of geometric means and, in brackets, the least of its rows."""
        groups = {row["group"]: [] for row in self.rows}
        for row in self.rows:
            groups[row["group"]].append(row)
        groups["all"] = self.rows
        titles = ("convolutions", "rows", "not 'direct'", *MODES, *self._torch_titles())
        return _markdown(titles, [self._means(name, rows) for name, rows in groups.items()])

    def _means(self, name, rows):
        columns = [[row[mode][0] for row in rows] for mode in MODES]
        columns += [[row["torch"][mode] for row in rows] for mode in rows[0]["torch"]]
        means = [f"{geometric_mean(values):.2f} ({min(values):.2f})" for values in columns]
        return (name, len(rows), sum(row["algorithm"] != "direct" for row in rows), *means)

    def _torch_titles(self):
        return [f"torch, {mode}" for mode in (self.rows[0]["torch"] if self.rows else ())]

    def write(self):
        """Write docs/benchmarks.md and its plot, and put the summary into README.md."""
        self.plot(ROOT / "docs" / "figures" / "benchmarks.png")
        page = (
            "# Against nn.Conv2D, convolution by convolution",
            "`make bench` prints this for your machine.",
            self.meaning(),
            "![Ratios of all convolutions](figures/benchmarks.png)",
            self.summary(),
            self.whole(),
            self.convolutions(),
        )
        (ROOT / "docs" / "benchmarks.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")
        put_into_readme("benchmarks", f"{self.summary()}\n\n{self.whole()}")

    def plot(self, path):
        """Draw the ratio of every convolution, group by group."""
        import matplotlib.pyplot as plt

        groups = list(dict.fromkeys(row["group"] for row in self.rows))
        figure, axes = plt.subplots(figsize=(9, 4.5), constrained_layout=True)
        for shift, mode in zip((-0.25, 0, 0.25), MODES):
            places = [groups.index(row["group"]) + shift for row in self.rows]
            ratios = [row[mode][0] for row in self.rows]
            axes.plot(places, ratios, "o", color=COLOURS[mode], alpha=0.5, label=mode)
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


def put_into_readme(name, text):
    """Replace what stands in README.md between the marks of a name."""
    path = ROOT / "README.md"
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
    """A table; columns of numbers are those whose first entry begins with a digit."""
    numbers = [str(entry)[:1].isdigit() for entry in lines[0]] if lines else [False] * len(titles)
    rule = ["---:" if number else "---" for number in numbers]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (titles, rule, *lines))

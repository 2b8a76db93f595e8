"""The report of convolutions.py: tables of its measurements, their summaries, and the plot.

Measurements are kept as JSON in benchmarks/results/, a file for each setting, beside a page with
all its tables. docs/benchmarks.md has the summaries of all settings that have a file.
"""

from collections import namedtuple
from dataclasses import dataclass
from statistics import geometric_mean

import networks_report
from cases import FEW_CHANNELS, ONE_CHANNEL
from networks_report import NetworkResults
from pages import KERNELS, RESULTS, ROOT, Results, markdown, with_spread
from timing import MODES

COLORS = dict(zip(MODES, ("#1f6fb4", "#e0842c", "#3a8f4f")))
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)

MEANING = """\
Each figure is the time of `nn.Conv2D` divided by the layer's: above 1, the layer is faster. ± is
half the interquartile range over single calls. `inference` waits for the output, `read` also for an
operator that reads it, `training` for a forward and a backward pass. `peak` is the layer's
throughput in inference as a share of that of MXNet's fastest matrix product. `errors` are the
errors of y, dx and dweight relative to float64, divided by those of `nn.Conv2D`, for one image."""
MARKS = """
After a slash stands the algorithm in training, where it is another."""
SUMMARY = """\
The summary gives the geometric mean of each group and, in parentheses, its minimum. A convolution
is chosen if the layer doesn't take 'native'. Two counts are of inference and of training."""
WHOLE = """\
Networks are hybridized after a first call, or at once, before any call. `chosen` counts the layers
that don't take 'native', in inference and in training; `same` says whether the network chose as it
does after a call."""
TORCH = """\
`torch` is the time of PyTorch, in the faster of its two memory layouts and in a process of its own,
divided by the layer's: with the same number of threads, and with the same kind of kernels. For
AVX2, both sides are limited by environment variables: `DNNL_MAX_CPU_ISA`, `ONEDNN_MAX_CPU_ISA` and
`ATEN_CPU_CAPABILITY`."""
NOISE = """
With 'native', and in training with 'train_layout', both sides run the same operator. There the
differences are noise: {:.2f} to {:.2f}, nine in ten of them {:.2f} to {:.2f}."""

Part = namedtuple("Part", "name has")  # of the summary: whether it has a row, for a mode


def _is_chosen(row, mode):
    return row["in training" if mode == "training" else "algorithm"] != "native"


PARTS = (  # beside the groups
    Part(
        f"{ONE_CHANNEL}, 7×7 and more",
        lambda row, mode: row["group"] == ONE_CHANNEL and _kernel(row) >= 7,
    ),
    Part(
        "filters of 1 to 3 channels", lambda row, mode: row["group"] in (ONE_CHANNEL, FEW_CHANNELS)
    ),
    Part(
        "odd channels, chosen",
        lambda row, mode: row["group"] == "odd channels" and _is_chosen(row, mode),
    ),
    Part("all chosen", _is_chosen),
    Part("all", lambda row, mode: True),
)


@dataclass
class Setting(Results):
    """Convolutions, and networks of the layer, relative to `nn.Conv2D`.

    Attributes
    ----------
    machine : dict
        Besides what all results have, the 'peak': the multiplications per second of MXNet's fastest
        matrix product.
    convolutions, networks : list of dict
        A row for each convolution, batch size and algorithm, as `measure.measure` yields them, and
        for each network, batch size and way of hybridizing, as `measure.measure_network` does.
    """

    heading = "Benchmarks against nn.Conv2D"
    prefix = ""
    keys = {"convolutions": ("group",), "networks": ("network",)}

    convolutions: list
    networks: list

    def __str__(self):
        meaning = MEANING + MARKS + self.noise()
        parts = [self.measured(), meaning, *[TORCH] * bool(self.machine["torch"])]
        if self.convolutions:
            parts += [self.table(), SUMMARY, self.summary()]
        if self.networks:
            parts += [WHOLE, self.whole()]
        return "\n\n".join(parts)

    def measured(self):
        """Where and when it was measured, and the peak there."""
        gflops = 2e-9 * self.machine["peak"]  # a multiplication and an addition each
        return f"{super().measured()} MXNet's fastest matrix product reaches {gflops:.0f} GFLOP/s."

    def noise(self):
        """The range of the figures where both sides run the same operator, if there are any."""
        found = []
        for row in self.convolutions:
            inference = MODES[:2] if row["algorithm"] == "native" else ()
            training = MODES[2:] if row["in training"] in ("native", "train_layout") else ()
            found += [row[mode][0] for mode in (*inference, *training)]
        found.sort()
        if not found:
            return ""
        nine_in_ten = found[len(found) // 20 : len(found) - len(found) // 20]
        return NOISE.format(found[0], found[-1], nine_in_ten[0], nine_in_ten[-1])

    def table(self):
        """A line for each convolution, batch size and algorithm."""
        titles = ("group", "convolution", "n", "algorithm", *MODES, "peak", "errors")
        lines = [
            (
                *(row[title] for title in titles[:3]),
                _algorithm(row),
                *(with_spread(*row[mode]) for mode in MODES),
                f"{100 * row['peak']:.0f} %",
                " ".join(f"{error:.1f}" for error in row["errors"]) or "–",
                *(f"{value:.2f}" for value in row["torch"].values()),
            )
            for row in self.convolutions
        ]
        return markdown((*titles, *self._torch_titles()), lines)

    def whole(self):
        """A line for each network, batch size and way of hybridizing."""
        titles = ("whole network", "n", "hybridized", *MODES, "chosen", "same")
        lines = [
            (
                *(net[title] for title in ("network", "n", "hybridized")),
                *(with_spread(*net[mode]) for mode in MODES),
                _both(
                    f"{sum(name != 'native' for name in names)} of {len(names)}"
                    for names in net["choices"].values()
                ),
                "yes" if net["same"] else "no",
            )
            for net in self.networks
        ]
        return markdown(titles, lines)

    def summary(self):
        """A line for each group and part: geometric means and, in parentheses, minima."""
        groups = dict.fromkeys(row["group"] for row in self.convolutions)
        parts = [Part(name, lambda row, mode, name=name: row["group"] == name) for name in groups]
        lines = [self._means(part) for part in (*parts, *PARTS)]
        titles = ("convolutions", "rows", "chosen", *MODES, *self._torch_titles())
        return markdown(titles, [line for line in lines if line[1] != "0"])

    def _means(self, part):
        rows = {mode: [r for r in self.convolutions if part.has(r, mode)] for mode in MODES}
        columns = [[row[mode][0] for row in rows[mode]] for mode in MODES]
        for title in self._torch_titles():
            mode = title.split()[1]
            columns.append([row["torch"][mode] for row in rows[mode]])
        means = [f"{geometric_mean(c):.2f} ({min(c):.2f})" if c else "–" for c in columns]
        counts = [len(rows[mode]) for mode in MODES[::2]]
        chosen = [sum(_is_chosen(row, mode) for row in rows[mode]) for mode in MODES[::2]]
        return (part.name, _both(counts), _both(chosen), *means)

    def _torch_titles(self):
        rows = self.convolutions
        return [f"torch, {mode}" for mode in (rows[0]["torch"] if rows else ())]


def write(results=RESULTS, docs=ROOT / "docs"):
    """Write docs/benchmarks.md and its plot, from the settings that have a file of results."""
    plot(Setting.load_all(results), docs / "figures" / "benchmarks.png")
    write_page(results, docs)


def write_page(results=RESULTS, docs=ROOT / "docs"):
    """Write docs/benchmarks.md."""
    text = page(Setting.load_all(results), NetworkResults.load_all(results))
    (docs / "benchmarks.md").write_text(text, encoding="utf-8")


def page(settings, networks):
    """docs/benchmarks.md: the summaries and whole networks of all settings."""
    parts = [
        "# Benchmarks against nn.Conv2D",
        "`make bench` prints this for your machine, with every convolution as a row.",
        MEANING,
        SUMMARY,
        WHOLE,
        TORCH,
        "![Ratios of all convolutions, group by group](figures/benchmarks.png)",
    ]
    for setting in settings:
        rows = f"[All rows](../benchmarks/results/{setting.name}.md)."
        parts += [f"## {setting.title}", f"{setting.measured()}{setting.noise()}", rows]
        parts += [setting.summary(), *[setting.whole()] * bool(setting.networks)]
    return "\n\n".join([*parts, *networks_report.sections(networks)]) + "\n"


def plot(settings, path):
    """Draw the ratio of every convolution, group by group; all cores as circles without filling."""
    import matplotlib.pyplot as plt

    kinds = list(dict.fromkeys(setting.machine["kernels"] for setting in settings))
    groups = list(dict.fromkeys(row["group"] for s in settings for row in s.convolutions))
    size = (9, 1 + 3.5 * len(kinds))
    figure, panels = plt.subplots(
        len(kinds), sharex=True, squeeze=False, figsize=size, constrained_layout=True
    )
    for kind, axes in zip(kinds, panels[:, 0]):
        for setting in (setting for setting in settings if setting.machine["kernels"] == kind):
            one_core = setting.machine["threads"] == "one"
            for shift, mode in zip((-0.25, 0, 0.25), MODES):
                places = [groups.index(row["group"]) + shift for row in setting.convolutions]
                ratios = [row[mode][0] for row in setting.convolutions]
                look = dict(color=COLORS[mode], alpha=0.5)
                look["markerfacecolor"] = COLORS[mode] if one_core else "none"
                axes.plot(places, ratios, "o", label=f"{mode}, {setting.threads}", **look)
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_yscale("log")
        axes.set_yticks(TICKS)
        axes.set_yticklabels(f"{tick:g}" for tick in TICKS)
        axes.minorticks_off()
        axes.set_title(f"{KERNELS[kind]} kernels")
        axes.set_ylabel("times as fast as nn.Conv2D")
        axes.legend(frameon=False)
    axes.set_xticks(range(len(groups)))
    axes.set_xticklabels(groups, rotation=40, ha="right", rotation_mode="anchor")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _kernel(row):
    """The height of a row's kernel, from a text such as 64>128 3x3 @56."""
    return int(row["convolution"].split()[1].split("x")[0])


def _algorithm(row):
    name, training = row["algorithm"], row["in training"]
    return name + f" / {training}" * (training != name)


def _both(values):
    """The values in inference and in training, once if they are the same."""
    return " / ".join(map(str, dict.fromkeys(values)))

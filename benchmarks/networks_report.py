"""The report of networks.py: a table of whole networks, and its means."""

from dataclasses import dataclass
from statistics import geometric_mean

from pages import Results, markdown, with_spread

MEANING = """\
Networks for inference. Each figure is a time divided by that of `mxconv.for_inference(net, x)`:
above 1, ours is faster. It is a ratio of medians over rounds in turn; ± is half the interquartile
range over single rounds; in parentheses stands the ratio of the fastest calls, which other
processes disturb least. `static` is the network of `nn.Conv2D`, hybridized with static_alloc and
static_shape, and `fused` the same after `optimize_for(x, backend="MKLDNN")`. A call ends when an
operator has read the outputs. All sides have the same random weights and statistics.

`torch` is PyTorch with the same weights, traced and frozen, in its fastest way, which stands beside
it: in NCHW or channels_last, and with or without `optimize_for_inference`. It takes turns with
MXNet, some seconds each. `difference` is the largest from the outputs of the original network,
relative to the largest output, of ours and of PyTorch's. `built` is the seconds that
`for_inference` took, where it measured."""
MEANS = """\
Geometric means and, in parentheses, the least ratio of fastest calls. `the better` is the faster of
`static` and `fused` for each network."""


@dataclass
class NetworkResults(Results):
    """Networks for inference, relative to what else runs them.

    Attributes
    ----------
    networks : list of dict
        A row for each network and batch size, as `measure_networks.measure` returns it.
    """

    heading = "Benchmarks of whole networks"
    prefix = "networks-"
    keys = {"networks": ("network", "n")}

    networks: list

    def __str__(self):
        parts = [self.measured(), MEANING, self.table(), self.reasons(), MEANS, self.means()]
        return "\n\n".join([part for part in parts if part] + self.reports())

    def table(self):
        """A line for each network and batch size."""
        titles = ("network", "n", "ms", "static", "fused", "torch", "in", "difference", "built")
        lines = [
            (
                row["network"],
                row["n"],
                f"{row['ms']:.4g}",
                *(f"{with_spread(*row[side][:2])} ({row[side][2]:.2f})" for side in titles[3:5]),
                *_torch(row),
                _both(row["difference"], row["torch difference"]),
                f"{row['seconds']:.0f} s",
            )
            for row in self.networks
        ]
        return markdown(titles, lines)

    def reasons(self):
        """Why networks are without PyTorch, as a sentence for each, or ''."""
        found = {row["network"]: row["without torch"] for row in self.networks}
        return "\n".join(f"{name} is without PyTorch: {why}." for name, why in found.items() if why)

    def means(self):
        """A line for each batch size."""
        lines = []
        for n in dict.fromkeys(row["n"] for row in self.networks):
            rows = [row for row in self.networks if row["n"] == n]
            static, fused = ([row[side][::2] for row in rows] for side in ("static", "fused"))
            better = [tuple(map(min, *both)) for both in zip(static, fused)]
            torch = [fastest(row)[1] for row in rows if row["torch"]]
            lines.append((n, len(rows), *map(_mean, (static, fused, better, torch))))
        titles = ("n", "networks", "over static", "over fused", "over the better", "over torch")
        return markdown(titles, lines)

    def reports(self):
        """What `for_inference` says that it did, network by network."""
        return [
            f"## {row['network']}, n = {row['n']}\n\n```\n{row['report']}\n```"
            for row in self.networks
        ]


def sections(results):
    """The part of docs/benchmarks.md about whole networks, of all settings that have a file."""
    parts = []
    for result in results:
        rows = f"[What `for_inference` did](../benchmarks/results/{result.name}.md)."
        parts += [f"### {result.title}", f"{result.measured()}\n{rows}", result.table()]
        parts += [*[result.reasons()] * bool(result.reasons()), result.means()]
    return ["## Whole networks for inference", f"{MEANING}\n\n{MEANS}", *parts] if parts else []


def fastest(row):
    """PyTorch's fastest way to run a network, and the ratio of it: of medians, and of the least."""
    return min(row["torch"].items(), key=lambda way: way[1])


def _torch(row):
    if not row["torch"]:
        return "–", "–"
    way, (ratio, least) = fastest(row)
    return f"{ratio:.2f} ({least:.2f})", way


def _mean(ratios):
    """The geometric mean of medians' ratios, and the least of the ratios of fastest calls."""
    if not ratios:
        return "–"
    return f"{geometric_mean(r for r, _ in ratios):.2f} ({min(least for _, least in ratios):.2f})"


def _both(ours, theirs):
    return " / ".join(f"{value:.0e}" for value in (ours, theirs) if value is not None)

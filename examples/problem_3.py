"""Problem 3: the growth of the operations if the channels, or the padding, are doubled.

Doubling both the input and the output channels takes exactly four times the multiplications. For
doubling the padding there is no single factor: it depends on the input's size and on the stride.
"""

import argparse
from fractions import Fraction
from pathlib import Path

from mxconv import ConvGeometry, MultiChannelConv2D
from mxconv.exercises import count_cost

from matplotlib.figure import Figure

PICTURE = Path(__file__).resolve().parent / "output" / "doubling.png"
CHANNELS = {"input": (128, 128), "output": (64, 256), "both": (128, 256)}  # from 64 to 128
SIZES = {224: 1.018, 56: 1.073, 7: 1.653, 2: 4, 1: 9}  # height and width, and the factor expected


def channel_factors(c_i, c_o):
    """The operations of c_i to c_o channels relative to those of 64 to 128, as exact fractions.

    These are the factors of the multiplications, of the additions, and of the additions with a
    bias, for 3x3 kernels. The size of the input cancels out.
    """

    def counts(c_i, c_o):
        layer = MultiChannelConv2D(c_o, kernel_size=3, padding=1, in_channels=c_i)
        forward = count_cost(layer, (1, c_i, 56, 56)).forward
        additions = forward.additions
        return forward.multiplications, additions, additions + forward.bias_additions

    return [Fraction(a, b) for a, b in zip(counts(c_i, c_o), counts(64, 128))]


def padding_factor(size, strides=1):
    """The multiplications with padding 2 relative to those with padding 1, as an exact fraction.

    The input is size x size, and the kernel 3x3.
    """
    once, twice = (
        count_cost(ConvGeometry(1, 3, strides, padding), (1, 1, size, size)).forward.multiplications
        for padding in (1, 2)
    )
    return Fraction(twice, once)


def draw_channels(axes):
    names = ("multiplications", "additions", "additions with bias")
    table = [channel_factors(*channels) for channels in CHANNELS.values()]
    for i, name in enumerate(names):
        places = [j + (i - 1) * 0.29 for j in range(len(table))]
        bars = axes.bar(places, [float(factors[i]) for factors in table], 0.27, label=name)
        axes.bar_label(bars, fmt="%.5g", padding=3, fontsize=11)
    axes.set_xticks(range(len(table)))
    axes.set_xticklabels([f"{what}\n{c_i} to {c_o}" for what, (c_i, c_o) in CHANNELS.items()])
    axes.set(
        title="Twice the channels of a layer from 64 to 128",
        xlabel="channels doubled",
        ylabel="times the operations",
        ylim=(0, 5),
        yticks=range(6),
    )


def draw_padding(axes):
    for strides, most, style, name in (
        (1, 256, "-", "stride 1"),
        (4, 32, ".", "stride 4, to 32 pixels: the floor decides"),
    ):
        sizes = range(1, most + 1)
        factors = [float(padding_factor(size, strides)) for size in sizes]
        axes.plot(sizes, factors, style, label=name)
    labels = [
        (size, float(padding_factor(size)), "{:.4g}", (0, 8) if size > 7 else (-18, -13))
        for size in SIZES
    ]
    text = "5 pixels, stride 4: {:.4g}, since the output stays 2 x 2"
    labels.append((5, float(padding_factor(5, strides=4)), text, (0, -18)))
    for size, factor, text, offset in labels:
        axes.annotate(
            text.format(factor), (size, factor), offset, textcoords="offset points", ha="center"
        )
    axes.plot(list(SIZES), [factor for _, factor, _, _ in labels[:-1]], "o", color="C0")
    axes.loglog()
    axes.minorticks_off()
    axes.set_xticks([*SIZES, 5])
    axes.set_xticklabels([*SIZES, 5])
    factors = (1, 1.5, 2, 3, 4, 6, 9)
    axes.set_yticks(factors)
    axes.set_yticklabels(factors)
    axes.set(
        title="Twice the padding: from 1 to 2, for a 3 x 3 kernel",
        xlabel="height and width of the input, in pixels",
        ylabel="times the multiplications",
        xlim=(0.7, 300),
        ylim=(0.8, 12),
    )


def draw(path):
    """Write a plot of both kinds of factors, a PNG of 1300 x 560 pixels."""
    figure = Figure(figsize=(13, 5.6), dpi=100, constrained_layout=True)
    for axes, panel in zip(figure.subplots(1, 2), (draw_channels, draw_padding)):
        panel(axes)
        axes.legend(loc="upper left" if panel is draw_channels else "upper right")
        axes.grid(axis="y", alpha=0.4)
        axes.set_axisbelow(True)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(str(path))


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # no options
    print("channels doubled  multiplications  additions  additions with bias")
    for what, channels in CHANNELS.items():
        multiplications, additions, with_bias = channel_factors(*channels)
        print(
            f"{what:16}  {float(multiplications):15.5g}  {float(additions):9.5g}  "
            f"{float(with_bias):19.5g}"
        )
        assert multiplications == with_bias == (4 if what == "both" else 2)
    assert f"{float(additions):.5g}" == "4.0035"

    print("\nheight and width  multiplications, padding from 1 to 2 (3x3 kernel)")
    for size, expected in SIZES.items():
        factor = padding_factor(size)
        print(f"{size:16}  {float(factor):.4g}")
        assert factor == Fraction(size + 2, size) ** 2
        assert round(float(factor), 3) == expected
    hidden = padding_factor(5, strides=4)
    print(f"with 5 pixels and stride 4: {float(hidden):.4g}, since the output is 2 x 2 either way")
    assert hidden == 1

    draw(PICTURE)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()

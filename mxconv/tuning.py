"""What `tune` has chosen: shown as a table, kept in a small readable file, and set on a network."""

import json
import os
from collections import namedtuple
from dataclasses import dataclass

import mxnet as mx

from . import _cpuinfo, _files
from .algorithms import unsupported
from .layer import NAMES, ask
from .network import layers_of

Row = namedtuple("Row", "layer geometry input_shape before chosen gain refused")


@dataclass(frozen=True)
class Tuning:
    """What `tune` has chosen; `str` makes a table of it.

    Attributes
    ----------
    rows : tuple of Row
        Per layer: its name as in the files of `save_parameters` ('.' for a lone layer), geometry
        and input_shape, the algorithm asked for before, the one chosen, its gain (how many times
        faster than 'direct'; 1 for 'direct' itself), and the algorithms refused for wrong results.
    training : bool
        Whether training steps were measured.
    machine : str
        Where.
    """

    rows: tuple
    training: bool
    machine: str

    def __str__(self):
        table = [("layer", "convolution", "input", "before", "chosen", "gain")]
        for row in self.rows:
            size, gain = _by(row.input_shape), f"{row.gain:.2f}"
            table.append((row.layer, _short(row.geometry), size, row.before, row.chosen, gain))
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
        for row in self.rows:
            lines += [f"{row.layer}: refused {name}, wrong results" for name in row.refused]
        mode = "training steps" if self.training else "inference"
        return "\n".join([*lines, f"{mode}, gain over 'direct', on {self.machine}"])


def save(path, tuning):
    """Write a `Tuning` to a file for `load_tuning`, and for people."""
    layers = {
        row.layer: {
            "geometry": str(row.geometry),
            "input_shape": _by(row.input_shape),
            "algorithm": row.chosen,
            "gain": round(row.gain, 2),
        }
        for row in tuning.rows
    }
    content = {"machine": tuning.machine, "training": tuning.training, "layers": layers}
    _files.write(path, (json.dumps(content, indent=2) + "\n").encode())


def load_tuning(net, path):
    """Give the layers of a network the algorithms that `tune` has saved.

    Parameters
    ----------
    net : gluon.Block
        A network of the same structure, called once if input channels are deferred; outermost.
    path : str or Path

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        net isn't a Block, or path isn't one.
    ValueError
        A file that holds something else, or a layer in it that isn't in the network, has another
        geometry, or asks for an algorithm that is unknown or not for it. Nothing is changed then.
    OSError
        A file that can't be read.
    """
    names = {name: layer for layer, name in named_layers(net).items()}
    path = _files.as_path(path)
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))["layers"]
        wanted = {name: (item["algorithm"], item["geometry"]) for name, item in saved.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"expected a file that mxconv.tune has saved, received path={str(path)!r}: {error!r}"
        ) from error
    for name, (algorithm, geometry) in wanted.items():
        problem = _misfit(names.get(name), algorithm, geometry)
        if problem:
            raise ValueError(f"{str(path)!r}, layer {name!r}: {problem}; nothing was changed")
    ask({names[name]: algorithm for name, (algorithm, _) in wanted.items()})
    return net


def named_layers(net):
    """The name of each `MultiChannelConv2D` of a network, like those in its parameter files."""
    layers, names = set(layers_of(net)), {}

    def walk(block, name):
        names.setdefault(block, name or ".")
        for key, child in block._children.items():
            walk(child, f"{name}.{key}" if name else key)

    walk(net, "")
    return {block: name for block, name in names.items() if block in layers}


def machine():
    """The processor and what uses it, in a line."""
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return f"{_cpuinfo.model()}, OMP_NUM_THREADS={threads}, MXNet {mx.__version__}"


def _short(geometry):
    """What tells most convolutions of a network apart."""
    text = f"{geometry.in_channels}>{geometry.channels} {_by(geometry.kernel_size)}"
    if geometry.strides != (1, 1):
        text += f", stride {_by(geometry.strides)}"
    return text if geometry.groups == 1 else f"{text}, groups {geometry.groups}"


def _by(sizes):
    return "x".join(map(str, sizes))


def _misfit(layer, algorithm, geometry):
    """Why a layer, or None, can't take what a file has for it; or None."""
    if layer is None:
        return "the network has no such MultiChannelConv2D"
    if str(layer.geometry) != geometry:
        return f"expected the geometry {geometry}, the network's is {layer.geometry}"
    if algorithm not in NAMES:
        return f"expected one of {NAMES} as algorithm, received {algorithm!r}"
    reason = None if algorithm == "auto" else unsupported(algorithm, layer.geometry.core)
    return reason and f"algorithm={algorithm!r} isn't for {reason}"

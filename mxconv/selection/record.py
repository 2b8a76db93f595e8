"""What was chosen for a network: shown as a table, and saved in a small readable file."""

import json
from dataclasses import dataclass
from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

import mxnet as mx
from mxnet.gluon import Block

from .. import _cpuinfo, _gluon, _paths
from .._tables import x_joined
from ..algorithms import CHOICES, unsupported
from ..geometry import ConvGeometry
from ..layer import MultiChannelConv2D
from ..networks.traversal import require_mxconv_layers


class LayerChoice(NamedTuple):
    """What was chosen for one layer.

    Attributes
    ----------
    layer : str
        The layer's name, as in the files of `save_parameters`; '.' for a lone layer.
    geometry : ConvGeometry
        The layer's geometry.
    input_shape : tuple of int
        The shape of the layer's first input.
    before, chosen : str
        The algorithm that was requested before, and the one that runs now.
    gain : None or float
        The measured speed-up over 'native', 1 for 'native' itself; None if a rule chose.
    rejected : tuple of str
        Algorithms whose results were wrong.
    """

    layer: str
    geometry: ConvGeometry
    input_shape: Tuple[int, ...]
    before: str
    chosen: str
    gain: Optional[float] = None
    rejected: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Choices:
    """What `choose_algorithms` has chosen; `print` shows it as a table.

    Attributes
    ----------
    rows : tuple of LayerChoice
        One for each layer that the input reaches.
    measured, training : bool
        Whether the algorithms were measured, and whether they are for training steps.
    machine : str
        The processor, its threads and the version of MXNet.
    """

    rows: Tuple[LayerChoice, ...]
    measured: bool
    training: bool
    machine: str

    def __str__(self) -> str:
        """Return the table, with one line per layer."""
        table = [("layer", "convolution", "input", "before", "chosen", "gain")]
        for row in self.rows:
            gain = "" if row.gain is None else f"{row.gain:.2f}"
            size = x_joined(row.input_shape)
            table.append((row.layer, _describe(row.geometry), size, row.before, row.chosen, gain))
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
        for row in self.rows:
            lines += [f"{row.layer}: rejected {name}, wrong results" for name in row.rejected]
        mode = "training steps" if self.training else "inference"
        how = f"{mode}, gain over 'native'" if self.measured else f"{mode}, chosen by the rules"
        return "\n".join([*lines, f"{how}, on {self.machine}"])


def save(path: Any, choices: Choices) -> None:
    """Write `Choices` to a file that `load_choices` and people can read."""
    layers = {
        row.layer: {
            "geometry": str(row.geometry),
            "input_shape": x_joined(row.input_shape),
            "algorithm": row.chosen,
            "gain": None if row.gain is None else round(row.gain, 2),
        }
        for row in choices.rows
    }
    content = {
        "machine": choices.machine,
        "measured": choices.measured,
        "training": choices.training,
        "layers": layers,
    }
    _paths.write(path, (json.dumps(content, indent=2) + "\n").encode())


def read(path: Any, layers: Mapping[MultiChannelConv2D, str]) -> Dict[MultiChannelConv2D, str]:
    """Return the algorithms that a file has for layers, {layer: name}; nothing is set.

    Parameters
    ----------
    path : str or Path
        A file that `save` has written.
    layers : dict
        The layers of the network and their names, from `named_layers`.

    Raises
    ------
    TypeError, ValueError, OSError
        As `load_choices`.
    """
    by_name = {name: layer for layer, name in layers.items()}
    path = _paths.as_path(path)
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))["layers"]
        wanted = {name: (item["algorithm"], item["geometry"]) for name, item in saved.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"expected a file that choose_algorithms has saved, received path={str(path)!r}: "
            f"{error!r}"
        ) from error
    for name, (algorithm, geometry) in wanted.items():
        problem = _misfit(by_name.get(name), algorithm, geometry)
        if problem:
            raise ValueError(f"{str(path)!r}, layer {name!r}: {problem}; nothing was changed")
    return {by_name[name]: algorithm for name, (algorithm, _) in wanted.items()}


def named_layers(net: Block) -> Dict[MultiChannelConv2D, str]:
    """Name each `MultiChannelConv2D` of a network as its parameter files do."""
    layers = set(require_mxconv_layers(net))
    names: Dict[Block, str] = {}

    def walk(block: Block, name: str) -> None:
        names.setdefault(block, name or ".")
        for key, child in _gluon.children(block).items():
            walk(child, f"{name}.{key}" if name else key)

    walk(net, "")
    return {block: name for block, name in names.items() if block in layers}


def machine() -> str:
    """Describe the processor, its threads and the version of MXNet in one line."""
    threads = _cpuinfo.threads()
    of_mxnet = "1 thread" if threads == 1 else f"{threads} threads"
    return f"{_cpuinfo.model()}, {of_mxnet}, MXNet {mx.__version__}"


def _describe(geometry: ConvGeometry) -> str:
    """Describe what distinguishes most convolutions of a network."""
    text = f"{geometry.in_channels}>{geometry.channels} {x_joined(geometry.kernel_size)}"
    if geometry.strides != (1, 1):
        text += f", stride {x_joined(geometry.strides)}"
    return text if geometry.groups == 1 else f"{text}, groups {geometry.groups}"


def _misfit(layer: Optional[MultiChannelConv2D], algorithm: Any, geometry: Any) -> Optional[str]:
    """Return why a layer can't take what a file has for it, or None. The layer may be missing."""
    if layer is None:
        return "the network has no MultiChannelConv2D of this name"
    if str(layer.geometry) != geometry:
        return f"expected the network's geometry {layer.geometry}, received {geometry} in the file"
    if algorithm not in CHOICES:
        return f"expected algorithm to be one of {CHOICES}, received {algorithm!r}"
    reason = None if algorithm == "auto" else unsupported(algorithm, layer.geometry.normalized)
    return f"algorithm={algorithm!r} doesn't support {reason}" if reason else None

"""Algorithms for the same convolution, one module each.

Every algorithm computes what the chapter's functions compute, gradients included. Its module holds
a record, `ALGORITHM`, with everything that the rest of the package needs to know about it (see
`record.Algorithm`). To add an algorithm, write its module and list it here. `ALGORITHMS` maps names
to records:
"""

from typing import Dict, Optional

from .. import _checks
from ..geometry import ConvGeometry
from . import (
    definition,
    depth_to_space,
    fft,
    im2col,
    kn2row,
    native,
    pad_channels,
    split_channels,
    subsample,
    train_layout,
    winograd,
)
from .record import Algorithm

__all__ = ["ALGORITHMS", "CHOICES", "NAMES", "Algorithm", "table", "unsupported"]

#: The records of all algorithms, by name.
ALGORITHMS: Dict[str, Algorithm] = {
    module.__name__.rpartition(".")[2]: module.ALGORITHM
    for module in (
        native,
        im2col,
        definition,
        pad_channels,
        split_channels,
        depth_to_space,
        kn2row,
        subsample,
        train_layout,
        winograd,
        fft,
    )
}

#: The names of all algorithms.
NAMES = tuple(ALGORITHMS)

#: What a layer accepts as its algorithm.
CHOICES = ("auto", *NAMES)

__doc__ += "\n" + "\n".join(
    f"- '{name}': {algorithm.summary}. For {algorithm.suits}."
    for name, algorithm in ALGORITHMS.items()
)


def table() -> str:
    """Return the algorithms as a Markdown table, for the README and docs/."""
    rows = ["| `algorithm` | what it does | for |", "|---|---|---|"]
    rows += [f"| `'{name}'` | {a.summary} | {a.suits} |" for name, a in ALGORITHMS.items()]
    return "\n".join(rows)


def unsupported(name: str, geometry: ConvGeometry) -> Optional[str]:
    """Return what an algorithm doesn't support about a normalized geometry, in words, or None."""
    return ALGORITHMS[name].unsupported(geometry)


def resolve(name: str, geometry: ConvGeometry) -> str:
    """Return the algorithm that runs for a requested name and a normalized geometry.

    'auto' is 'native' until a rule has chosen. So is any name while the input channels are unknown,
    as they can be in a graph: 'native' is the one whose shapes MXNet can infer.

    Raises
    ------
    ValueError
        If the algorithm doesn't support the geometry.
    """
    if name == "auto" or not geometry.in_channels:
        return "native"
    reason = unsupported(name, geometry)
    if reason:
        raise ValueError(
            f"algorithm={name!r} doesn't support {reason}: choose another; received {geometry}"
        )
    return name


def checked(name: str, geometry: ConvGeometry) -> str:
    """Return `name` if it is 'auto' or an algorithm that supports a layer's geometry.

    Raises
    ------
    ValueError
        If the name is unknown, or if the algorithm doesn't support what is known of the geometry.
    """
    _checks.choice("algorithm", name, CHOICES)
    resolve(name, geometry.normalized)
    return name

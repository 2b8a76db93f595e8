"""The shapes of a convolution: one frozen value that every other module reads."""

from dataclasses import dataclass, replace
from typing import Tuple, Union

import numpy as np

from . import _checks

Size = Union[int, Tuple[int, int]]

# MXNet's packages index the elements of an array with 32 bits.
MOST_ELEMENTS = 2**31 - 1


@dataclass(frozen=True)
class ConvGeometry:
    """What fixes the shapes of a two-dimensional convolution, normalised and checked.

    Parameters
    ----------
    channels : int
        Output channels, c_o.
    kernel_size, strides, padding, dilation : int or pair of int
        For (height, width), in elements; kept as pairs.
    groups : int
        Output channels are divided among as many groups of input channels.
    in_channels : int
        Input channels, c_i; 0 while they are unknown.
    layout : str
        The order of the axes of the input; 'NCHW'.

    Raises
    ------
    TypeError
        A value that isn't an integer, or a pair of them.
    ValueError
        A value out of range, or channels that the groups don't divide.
    """

    channels: int
    kernel_size: Size
    strides: Size = (1, 1)
    padding: Size = (0, 0)
    dilation: Size = (1, 1)
    groups: int = 1
    in_channels: int = 0
    layout: str = "NCHW"

    def __post_init__(self):
        normal = {
            "channels": _checks.integer("channels", self.channels, 1),
            "kernel_size": _checks.pair("kernel_size", self.kernel_size, 1),
            "strides": _checks.pair("strides", self.strides, 1),
            "padding": _checks.pair("padding", self.padding, 0),
            "dilation": _checks.pair("dilation", self.dilation, 1),
            "groups": _checks.integer("groups", self.groups, 1),
            "in_channels": _checks.integer("in_channels", self.in_channels, 0),
            "layout": _checks.choice("layout", self.layout, ("NCHW",)),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)
        for name in ("channels", "in_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{name} has to be divisible by groups, received "
                    f"{name}={getattr(self, name)}, groups={self.groups}"
                )

    def with_in_channels(self, in_channels):
        """The same geometry for a known number of input channels."""
        return replace(self, in_channels=in_channels)

    @property
    def weight_shape(self):
        """(c_o, c_i / groups, k_h, k_w), with 0 for channels that are unknown."""
        return (self.channels, self.in_channels // self.groups) + self.kernel_size

    @property
    def window(self):
        """Height and width of the part of the input that one output sees: dilated, d (k - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation))

    @property
    def pointwise(self):
        """Whether the kernel is 1x1, so that outputs see one pixel each."""
        return self.kernel_size == (1, 1)

    def output_shape(self, input_shape):
        """The shape (n, c_o, o_h, o_w) of the output for an input (n, c_i, h, w).

        Per axis o = floor((h + 2p - d (k - 1) - 1) / s) + 1.

        Raises
        ------
        ValueError
            A wrong rank or number of channels, an empty axis, a kernel larger than the padded
            input, or an output of more elements than MXNet can index.
        """
        received = f"received an input of shape {tuple(input_shape)}"
        if len(input_shape) != 4 or 0 in input_shape:
            raise ValueError(
                f"expected a non-empty input of shape (batch, in_channels, height, width), {received}"
            )
        n, c_i = input_shape[:2]
        if self.in_channels and c_i != self.in_channels:
            raise ValueError(
                f"expected in_channels={self.in_channels} channels on axis 1, {received}"
            )
        if c_i % self.groups:
            raise ValueError(
                f"expected channels on axis 1 that groups={self.groups} divides, {received}"
            )
        padded = tuple(size + 2 * p for size, p in zip(input_shape[2:], self.padding))
        if any(size < window for size, window in zip(padded, self.window)):
            raise ValueError(
                f"the kernel is larger than its padded input: kernel_size={self.kernel_size} with "
                f"dilation={self.dilation} spans {self.window}, padding={self.padding} makes the "
                f"input {padded}, {received}"
            )
        size = tuple((p - w) // s + 1 for p, w, s in zip(padded, self.window, self.strides))
        shape = (n, self.channels) + size
        elements = int(np.prod(shape, dtype=object))
        if elements > MOST_ELEMENTS:
            raise ValueError(
                f"the output {shape} would have {elements} elements, MXNet indexes at most "
                f"{MOST_ELEMENTS}, {received}"
            )
        return shape

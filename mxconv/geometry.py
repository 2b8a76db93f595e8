"""The shapes of a convolution: one frozen value that every other module reads."""

from ast import literal_eval
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Tuple, Union

from . import _checks

Size = Union[int, Tuple[int, int]]
Margins = Union[str, Size, Tuple[Tuple[int, int], Tuple[int, int]]]

# What MXNet's operator `Convolution` calls the fields that it has too.
OPERATOR = {
    "channels": "num_filter",
    "kernel_size": "kernel",
    "strides": "stride",
    "padding": "pad",
    "dilation": "dilate",
    "groups": "num_group",
    "layout": "layout",
}

PADDING_MODES = ("zeros", "reflect", "edge", "circular")

# The shape of an input, by its layout.
AXES = {
    "NCHW": "(batch, in_channels, height, width)",
    "NHWC": "(batch, height, width, in_channels)",
}


@dataclass(frozen=True)
class ConvGeometry:
    """What fixes the shapes of a two-dimensional convolution, normalised and checked.

    Parameters
    ----------
    channels : int
        Output channels, c_o.
    kernel_size, strides, dilation : int or pair of int
        For (height, width), in elements; kept as pairs.
    padding : int, pair of int, ((top, bottom), (left, right)), 'same' or 'valid'
        Rows and columns put around the input; kept as a pair of int where both sides are equal.
        'valid' is none; 'same' keeps height and width, with the odd one below and to the right, and
        needs strides of 1, because with others it would depend on the input's size.
    groups : int
        Output channels are divided among as many groups of input channels.
    in_channels : int
        Input channels, c_i; 0 while they are unknown.
    layout : {'NCHW', 'NHWC'}
        The order of the axes of input and output; the weight has its channels in the same place.
    padding_mode : {'zeros', 'reflect', 'edge', 'circular'}
        What the padding holds: zeros, the input mirrored without its border, its border repeated
        ('replicate' is the same), or its other side.

    Raises
    ------
    TypeError
        A value that isn't an integer, or a pair of them.
    ValueError
        A value out of range, channels that the groups don't divide, or a weight of more elements
        than MXNet can index.
    """

    channels: int
    kernel_size: Size
    strides: Size = (1, 1)
    padding: Margins = (0, 0)
    dilation: Size = (1, 1)
    groups: int = 1
    in_channels: int = 0
    layout: str = "NCHW"
    padding_mode: str = "zeros"

    def __post_init__(self):
        def keep(name, value):
            object.__setattr__(self, name, value)

        keep("channels", _checks.integer("channels", self.channels, 1))
        keep("kernel_size", _checks.pair("kernel_size", self.kernel_size, 1))
        keep("strides", _checks.pair("strides", self.strides, 1))
        keep("dilation", _checks.pair("dilation", self.dilation, 1))
        keep("groups", _checks.integer("groups", self.groups, 1))
        keep("in_channels", _checks.integer("in_channels", self.in_channels, 0))
        _checks.choice("layout", self.layout, tuple(AXES))
        _checks.choice("padding_mode", self.padding_mode, (*PADDING_MODES, "replicate"))
        if self.padding_mode == "replicate":
            keep("padding_mode", "edge")
        keep("padding", self._normal_padding())
        for name in ("channels", "in_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{name} has to be divisible by groups, received "
                    f"{name}={getattr(self, name)}, groups={self.groups}"
                )
        self._check_weight(
            self.in_channels or self.groups,  # the fewest that they can turn out to be
            f"received channels={self.channels}, kernel_size={self.kernel_size}, "
            f"in_channels={self.in_channels}, groups={self.groups}",
        )

    def _normal_padding(self):
        name = self.padding if isinstance(self.padding, str) else None
        if name == "valid":
            return (0, 0)
        if name == "same":
            if self.strides != (1, 1):
                raise ValueError(
                    "padding='same' expects strides of 1, because with others it would depend on "
                    f"the input's size; received strides={self.strides}"
                )
            margins = tuple(((w - 1) // 2, w // 2) for w in self.window)
        else:
            margins = _checks.margins("padding", self.padding)
        even = all(before == after for before, after in margins)
        return tuple(before for before, _ in margins) if even else margins

    @classmethod
    def of_operator(cls, attributes, **others):
        """The geometry of MXNet's operator `Convolution`, from its two-dimensional attributes.

        One that is None or () has its default. `others` are fields that the operator doesn't have.
        """
        given = {ours: attributes.get(name) for ours, name in OPERATOR.items()}
        given = {ours: value for ours, value in given.items() if value not in (None, ())}
        return cls(**given, **others)

    def with_in_channels(self, in_channels):
        """The same geometry for a known number of input channels."""
        return replace(self, in_channels=in_channels)

    @cached_property
    def attributes(self):
        """The attributes of MXNet's operator `Convolution`; `of_operator` reads them again."""
        return {name: getattr(self, ours) for ours, name in OPERATOR.items()}

    @cached_property
    def fewest_attributes(self):
        """The attributes without the operator's defaults, as text.

        It reads them anew at each call on arrays, for as long as a small convolution takes.
        """
        defaults = {field.name: field.default for field in fields(self)}
        return {
            name: str(getattr(self, ours))
            for ours, name in OPERATOR.items()
            if getattr(self, ours) != defaults[ours]
        }

    @cached_property
    def margins(self):
        """The padding as ((top, bottom), (left, right))."""
        return _checks.margins("padding", self.padding)

    @cached_property
    def padded_apart(self):
        """Whether the padding takes a step of its own: uneven, or of something else than zeros."""
        uneven = isinstance(self.padding[0], tuple)
        return uneven or (self.padding_mode != "zeros" and self.padding != (0, 0))

    @cached_property
    def core(self):
        """What is left for an algorithm: NCHW, and zeros on both sides alike as padding."""
        padding = (0, 0) if self.padded_apart else self.padding
        return replace(self, layout="NCHW", padding=padding, padding_mode="zeros")

    @cached_property
    def weight_shape(self):
        """(c_o, c_i / groups, k_h, k_w) or, for NHWC, (c_o, k_h, k_w, c_i / groups).

        0 stands for channels that are unknown.
        """
        return self._weight_shape(self.in_channels)

    def _weight_shape(self, in_channels):
        c_i = (in_channels // self.groups,)
        after = c_i + self.kernel_size if self.layout == "NCHW" else self.kernel_size + c_i
        return (self.channels,) + after

    def _check_weight(self, in_channels, received):
        _checks.indexable("the weight", self._weight_shape(in_channels), received)

    @cached_property
    def window(self):
        """Height and width of what one output sees of the input: dilated, d (k - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation))

    @property
    def depthwise(self):
        """Whether every channel is convolved by itself, into one output."""
        return self.groups == self.in_channels == self.channels > 1

    @property
    def dilated(self):
        """Whether there is a dilation other than 1."""
        return self.dilation != (1, 1)

    @property
    def pointwise(self):
        """Whether the kernel is 1x1, so that outputs see one pixel each."""
        return self.kernel_size == (1, 1)

    def in_order(self, shape):
        """The sizes (n, c, h, w) of a shape in the layout's order of axes."""
        return tuple(shape[self.layout.index(axis)] for axis in "NCHW")

    def padded_size(self, size):
        """Height and width of an input of `size` (h, w) with its padding."""
        return tuple(length + sum(margin) for length, margin in zip(size, self.margins))

    def core_shape(self, shape):
        """The shape (n, c_i, h, w) of what is left for `core`, from that of an input."""
        n, c_i, *size = self.in_order(shape)
        return (n, c_i, *self.core_size(size))

    def core_size(self, size):
        """Height and width of what is left for `core`, from those of an input."""
        return self.padded_size(size) if self.padded_apart else tuple(size)

    def output_shape(self, input_shape):
        """The shape of the output for the shape of an input, both in the layout's order of axes.

        Per axis o = floor((h + before + after - d (k - 1) - 1) / s) + 1.

        Raises
        ------
        TypeError
            A shape that isn't a tuple of integers.
        ValueError
            A wrong rank or number of channels, an empty axis, a kernel larger than the padded
            input, padding that the input is too small to fill, or a weight, an output or a padded
            input of more elements than MXNet can index.
        """
        input_shape = _checks.input_shape(input_shape, AXES[self.layout], rank=4)
        received = f"received an input of shape {input_shape}"
        n, c_i, *size = self.in_order(input_shape)
        axis = self.layout.index("C")
        if self.in_channels and c_i != self.in_channels:
            raise ValueError(
                f"expected in_channels={self.in_channels} channels on axis {axis}, {received}"
            )
        if c_i % self.groups:
            raise ValueError(
                f"expected channels on axis {axis} that groups={self.groups} divides, {received}"
            )
        if not self.in_channels:
            self._check_weight(c_i, received)
        o_h, o_w = self.output_size(size, received)
        sizes = {"N": n, "C": self.channels, "H": o_h, "W": o_w}
        shape = tuple(sizes[axis] for axis in self.layout)
        received += f", padding={self.padding}"
        _checks.indexable("the output", shape, received)
        _checks.indexable("the padded input", (n, c_i, *self.padded_size(size)), received)
        return shape

    def output_size(self, size, received):
        """Height and width of the output for those of an input; errors end with `received`."""
        self._check_padding(size, received)
        padded = self.padded_size(size)
        if any(size < window for size, window in zip(padded, self.window)):
            raise ValueError(
                f"the kernel is larger than its padded input: kernel_size={self.kernel_size} with "
                f"dilation={self.dilation} spans {self.window}, padding={self.padding} makes the "
                f"input {padded}, {received}"
            )
        return tuple((p - k) // s + 1 for p, k, s in zip(padded, self.window, self.strides))

    def _check_padding(self, size, received):
        """Mirrored or wrapped padding is made of the input, which has to be large enough."""
        spare = {"reflect": 1, "circular": 0}.get(self.padding_mode)
        if spare is not None and any(
            max(margin) > length - spare for margin, length in zip(self.margins, size)
        ):
            raise ValueError(
                f"padding_mode={self.padding_mode!r} needs an input larger than its padding, "
                f"padding={self.padding}, {received}"
            )


def attribute_value(text):
    """An operator's attribute, which MXNet has as text: a number, a tuple, a bool, or the text."""
    try:
        return literal_eval(text)
    except (SyntaxError, ValueError):
        return text

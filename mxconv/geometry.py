"""The shapes of a convolution: one frozen value that every other module reads."""

from ast import literal_eval
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Dict, Mapping, Sequence, Tuple, Union

from . import _checks

Pair = Tuple[int, int]
Pads = Tuple[Pair, Pair]
Shape = Tuple[int, ...]
Size = Union[int, Pair]  # what the constructor takes, for (height, width)
Padding = Union[str, Size, Pads]  # what it takes for the padding

# The names of our fields among the attributes of MXNet's operator `Convolution`.
OP_ATTR_NAMES = {
    "channels": "num_filter",
    "kernel_size": "kernel",
    "strides": "stride",
    "padding": "pad",
    "dilation": "dilate",
    "groups": "num_group",
    "layout": "layout",
}

PADDING_MODES = ("zeros", "reflect", "edge", "circular")

# The axes of an input, by layout.
INPUT_AXES = {
    "NCHW": "(batch, in_channels, height, width)",
    "NHWC": "(batch, height, width, in_channels)",
}


@dataclass(frozen=True)
class ConvGeometry:
    """All that determines the shapes of a two-dimensional convolution, checked and normalized.

    Parameters
    ----------
    channels : int
        Number of output channels, c_o.
    kernel_size, strides, dilation : int or pair of int
        (height, width) in elements; stored as pairs.
    padding : int, pair of int, ((top, bottom), (left, right)), 'same' or 'valid'
        Rows and columns added around the input. Stored as a pair of int if opposite sides are
        equal, and as a pair of pairs otherwise.

        - 'valid' adds none.
        - 'same' keeps the input's height and width; any extra row or column goes to the bottom or
          the right. It requires strides of 1, because with larger ones it would depend on the
          input's size.
    groups : int
        Number of groups that input and output channels are divided into.
    in_channels : int
        Number of input channels, c_i, or 0 if not known yet.
    layout : {'NCHW', 'NHWC'}
        Order of the axes of input and output. The weight has its input channels in the same place.
    padding_mode : {'zeros', 'reflect', 'edge', 'circular'}
        What the padding contains. A row 1234, padded by 2 on each side, becomes

        - 'zeros': ``00|1234|00``;
        - 'reflect': ``32|1234|32``, mirrored without repeating the border;
        - 'edge': ``11|1234|44``, which can also be spelled 'replicate';
        - 'circular': ``34|1234|12``.

    Raises
    ------
    TypeError
        A value that isn't an integer or a pair of integers.
    ValueError
        A value out of range, channels that aren't divisible by groups, or a weight with more
        elements than MXNet can index.

    See Also
    --------
    MultiChannelConv2D : The layer; its `geometry` is one of these.
    count_cost : Counts the operations and the memory of a geometry.

    Examples
    --------
    >>> geometry = ConvGeometry(8, kernel_size=3, strides=2, padding=1, in_channels=4)
    >>> geometry.weight_shape
    (8, 4, 3, 3)
    >>> geometry.output_shape((1, 4, 28, 28))
    (1, 8, 14, 14)
    """

    channels: int
    kernel_size: Pair
    strides: Pair = (1, 1)
    padding: Union[Pair, Pads] = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    in_channels: int = 0
    layout: str = "NCHW"
    padding_mode: str = "zeros"

    if TYPE_CHECKING:  # the generated constructor takes more types than the fields end up with

        def __init__(
            self,
            channels: int,
            kernel_size: Size,
            strides: Size = ...,
            padding: Padding = ...,
            dilation: Size = ...,
            groups: int = ...,
            in_channels: int = ...,
            layout: str = ...,
            padding_mode: str = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        def set_field(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        set_field("channels", _checks.integer("channels", self.channels, 1))
        set_field("kernel_size", _checks.pair("kernel_size", self.kernel_size, 1))
        set_field("strides", _checks.pair("strides", self.strides, 1))
        set_field("dilation", _checks.pair("dilation", self.dilation, 1))
        set_field("groups", _checks.integer("groups", self.groups, 1))
        set_field("in_channels", _checks.integer("in_channels", self.in_channels, 0))
        _checks.choice("layout", self.layout, INPUT_AXES)
        _checks.choice("padding_mode", self.padding_mode, (*PADDING_MODES, "replicate"))
        if self.padding_mode == "replicate":
            set_field("padding_mode", "edge")
        set_field("padding", self._canonical_padding(self.padding))
        for name in ("channels", "in_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"expected {name} to be divisible by groups, received "
                    f"{name}={getattr(self, name)}, groups={self.groups}"
                )
        self._check_weight(
            self.in_channels or self.groups,  # unknown channels are at least one per group
            f"received channels={self.channels}, kernel_size={self.kernel_size}, "
            f"in_channels={self.in_channels}, groups={self.groups}",
        )

    def _canonical_padding(self, padding: Any) -> Union[Pair, Pads]:
        """Return what the constructor received as a pair of int if possible, or as `pads`."""
        name = padding if isinstance(padding, str) else None
        if name == "valid":
            return (0, 0)
        if name == "same":
            if self.strides != (1, 1):
                raise ValueError(
                    "padding='same' expects strides of 1, because with larger ones it would "
                    f"depend on the input's size; received strides={self.strides}"
                )
            h, w = self.dilated_kernel_size
            rows, columns = ((h - 1) // 2, h // 2), ((w - 1) // 2, w // 2)
        else:
            rows, columns = _checks.pads("padding", padding)
        even = rows[0] == rows[1] and columns[0] == columns[1]
        return (rows[0], columns[0]) if even else (rows, columns)

    @classmethod
    def from_op_attrs(cls, attributes: Mapping[str, Any], **others: Any) -> "ConvGeometry":
        """Return the geometry of MXNet's operator `Convolution`, given its attributes.

        An attribute that is None or () has its default. `others` are fields that the operator
        doesn't have.
        """
        given: Dict[str, Any] = {ours: attributes.get(op) for ours, op in OP_ATTR_NAMES.items()}
        given = {ours: value for ours, value in given.items() if value not in (None, ())}
        return cls(**given, **others)

    def with_in_channels(self, in_channels: int) -> "ConvGeometry":
        """Return the same geometry for a known number of input channels."""
        return replace(self, in_channels=in_channels)

    @cached_property
    def op_attrs(self) -> Dict[str, Any]:
        """The attributes of MXNet's operator `Convolution`; `from_op_attrs` is the inverse."""
        return {name: getattr(self, ours) for ours, name in OP_ATTR_NAMES.items()}

    @cached_property
    def non_default_op_attrs(self) -> Dict[str, str]:
        """The operator's attributes that differ from its defaults, as text.

        MXNet parses attributes on every eager call, which can take as long as a small convolution.
        """
        defaults = {field.name: field.default for field in fields(self)}
        return {
            name: str(getattr(self, ours))
            for ours, name in OP_ATTR_NAMES.items()
            if getattr(self, ours) != defaults[ours]
        }

    @cached_property
    def pads(self) -> Pads:
        """The padding as ((top, bottom), (left, right))."""
        return _checks.pads("padding", self.padding)

    @cached_property
    def needs_explicit_padding(self) -> bool:
        """Whether padding has to be applied before MXNet's operator, which pads evenly by zeros."""
        uneven = isinstance(self.padding[0], tuple)
        return uneven or (self.padding_mode != "zeros" and self.padding != (0, 0))

    @cached_property
    def normalized(self) -> "ConvGeometry":
        """The geometry that algorithms see: NCHW, with even zero padding.

        Before an algorithm runs, the layer moves the axes and applies explicit padding.
        """
        padding = (0, 0) if self.needs_explicit_padding else self.padding
        return replace(self, layout="NCHW", padding=padding, padding_mode="zeros")

    @cached_property
    def weight_shape(self) -> Tuple[int, int, int, int]:
        """(c_o, c_i / groups, k_h, k_w), or (c_o, k_h, k_w, c_i / groups) for NHWC.

        Input channels that aren't known yet are 0.
        """
        return self._weight_shape(self.in_channels)

    def _weight_shape(self, in_channels: int) -> Tuple[int, int, int, int]:
        c_o, c_i, (k_h, k_w) = self.channels, in_channels // self.groups, self.kernel_size
        return (c_o, c_i, k_h, k_w) if self.layout == "NCHW" else (c_o, k_h, k_w, c_i)

    def _check_weight(self, in_channels: int, received: str) -> None:
        _checks.indexable("the weight", self._weight_shape(in_channels), received)

    @cached_property
    def dilated_kernel_size(self) -> Pair:
        """Height and width of what one output sees, its receptive field: d (k - 1) + 1 each."""
        (k_h, k_w), (d_h, d_w) = self.kernel_size, self.dilation
        return d_h * (k_h - 1) + 1, d_w * (k_w - 1) + 1

    @property
    def depthwise(self) -> bool:
        """Whether each channel is convolved separately, into one output channel."""
        return self.groups == self.in_channels == self.channels > 1

    @property
    def dilated(self) -> bool:
        """Whether either dilation is larger than 1."""
        return self.dilation != (1, 1)

    @property
    def pointwise(self) -> bool:
        """Whether the kernel is 1x1, so that each output sees a single pixel."""
        return self.kernel_size == (1, 1)

    def to_nchw(self, shape: Sequence[int]) -> Tuple[int, int, int, int]:
        """Return the sizes (n, c, h, w) of a shape in the order of `layout`."""
        n, c, h, w = (shape[self.layout.index(axis)] for axis in "NCHW")
        return n, c, h, w

    def _in_layout(self, n: int, c: int, h: int, w: int) -> Tuple[int, int, int, int]:
        """Return these sizes in the order of `layout`; the inverse of `to_nchw`."""
        return (n, c, h, w) if self.layout == "NCHW" else (n, h, w, c)

    def padded_size(self, size: Sequence[int]) -> Pair:
        """Return the height and width of an input of `size` (h, w) with its padding."""
        (h, w), (rows, columns) = size, self.pads
        return h + sum(rows), w + sum(columns)

    def normalized_size(self, size: Sequence[int]) -> Pair:
        """Return the height and width of an input as `normalized` sees it."""
        h, w = size
        return self.padded_size(size) if self.needs_explicit_padding else (h, w)

    def normalized_shape(self, shape: Sequence[int]) -> Tuple[int, int, int, int]:
        """Return the shape (n, c_i, h, w) of an input as `normalized` sees it."""
        n, c_i, h, w = self.to_nchw(shape)
        return (n, c_i, *self.normalized_size((h, w)))

    def input_shape_for(self, normalized_shape: Sequence[int]) -> Tuple[int, int, int, int]:
        """Return the shape of an input, given its shape as `normalized` sees it."""
        n, c_i, h, w = normalized_shape
        if self.needs_explicit_padding:
            rows, columns = self.pads
            h, w = h - sum(rows), w - sum(columns)
        return self._in_layout(n, c_i, h, w)

    def output_shape(self, input_shape: Sequence[int]) -> Tuple[int, int, int, int]:
        """Return the shape of the output for an input, both in the order of `layout`.

        Along each axis, with padding `before` and `after`, ::

            out = floor((in + before + after - dilation * (kernel_size - 1) - 1) / stride) + 1

        Parameters
        ----------
        input_shape : tuple of int
            (n, c_i, h, w), or (n, h, w, c_i) for NHWC.

        Returns
        -------
        tuple of int
            (n, c_o, o_h, o_w), or (n, o_h, o_w, c_o) for NHWC.

        Raises
        ------
        TypeError
            A shape that isn't a tuple of integers.
        ValueError
            A wrong rank or number of channels, an empty axis, a kernel larger than the padded
            input, an input too small for its padding mode, or a weight, an output or a padded
            input with more elements than MXNet can index.
        """
        input_shape = _checks.input_shape(input_shape, INPUT_AXES[self.layout], rank=4)
        received = f"received an input of shape {input_shape}"
        n, c_i, h, w = self.to_nchw(input_shape)
        axis = self.layout.index("C")
        if self.in_channels and c_i != self.in_channels:
            raise ValueError(
                f"expected in_channels={self.in_channels} channels on axis {axis}, {received}"
            )
        if c_i % self.groups:
            raise ValueError(
                f"expected a number of channels on axis {axis} that is divisible by "
                f"groups={self.groups}, {received}"
            )
        if not self.in_channels:
            self._check_weight(c_i, received)
        shape = self._in_layout(n, self.channels, *self.output_size((h, w), received))
        received += f", padding={self.padding}"
        _checks.indexable("the output", shape, received)
        _checks.indexable("the padded input", (n, c_i, *self.padded_size((h, w))), received)
        return shape

    def output_size(self, size: Sequence[int], received: str) -> Pair:
        """Return the output's height and width; errors end with `received`."""
        self._check_padding(size, received)
        padded, window = self.padded_size(size), self.dilated_kernel_size
        if padded[0] < window[0] or padded[1] < window[1]:
            raise ValueError(
                "the kernel is larger than its padded input: expected a height and a width of at "
                f"least {window}, from kernel_size={self.kernel_size} and "
                f"dilation={self.dilation}, and padding={self.padding} makes them {padded}; "
                f"{received}"
            )
        o_h, o_w = ((p - k) // s + 1 for p, k, s in zip(padded, window, self.strides))
        return o_h, o_w

    def _check_padding(self, size: Sequence[int], received: str) -> None:
        """Reject an input too small to be mirrored or repeated into its padding."""
        if self.padding_mode not in ("reflect", "circular"):
            return
        border = 1 if self.padding_mode == "reflect" else 0  # which a mirror leaves out
        smallest = tuple(max(pad) + border for pad in self.pads)
        if any(length < least for length, least in zip(size, smallest)):
            raise ValueError(
                f"padding_mode={self.padding_mode!r} with padding={self.padding} expects a height "
                f"and a width of at least {smallest}, {received}"
            )


def parse_op_attr(text: str) -> Any:
    """Parse an operator's attribute, which MXNet stores as text.

    It is a number, a tuple, a bool, or else the text itself.
    """
    try:
        return literal_eval(text)
    except (SyntaxError, ValueError):
        return text

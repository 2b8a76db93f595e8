"""The cost of one convolution, which is a function of its geometry and its input's shape."""

from dataclasses import astuple, dataclass, fields
from math import prod
from typing import Tuple

from ..algorithms import resolve
from ..geometry import ConvGeometry
from ..layer import geometry_of
from .memory import Memory, bill
from .text import aligned


@dataclass(frozen=True)
class Operations:
    """Scalar operations; those that add a bias are counted apart from the other additions."""

    multiplications: int = 0
    additions: int = 0
    bias_additions: int = 0

    def __add__(self, other):
        return Operations(*(a + b for a, b in zip(astuple(self), astuple(other))))


@dataclass(frozen=True)
class Backward:
    """The `Operations` for the gradients to the padded input, the weight and the bias."""

    data: Operations = Operations()
    weight: Operations = Operations()
    bias: Operations = Operations()

    @property
    def total(self):
        """The `Operations` of the three parts together."""
        return self.data + self.weight + self.bias

    @property
    def multiplications(self):
        """Of the three parts together."""
        return self.total.multiplications

    @property
    def additions(self):
        """Of the three parts together."""
        return self.total.additions

    def __add__(self, other):
        return Backward(self.data + other.data, self.weight + other.weight, self.bias + other.bias)


@dataclass(frozen=True)
class ConvolutionCost:
    """What a convolution of an input of one shape costs; `mxconv.cost` says what is counted."""

    geometry: ConvGeometry
    algorithm: str
    input_shape: Tuple[int, ...]
    output_shape: Tuple[int, ...]
    forward: Operations
    backward: Backward
    memory: Memory

    def table(self):
        """The operations and the bill of memory as text."""
        parts = {"forward": self.forward, "backward": self.backward.total}
        for field in fields(Backward):
            parts[f"  {field.name}"] = getattr(self.backward, field.name)
        counts = [("operations", *(field.name.replace("_", " ") for field in fields(Operations)))]
        counts += [(name, *astuple(part)) for name, part in parts.items()]
        title = f"{self.input_shape} -> {self.output_shape}, algorithm {self.algorithm!r}"
        return "\n".join([title, "", *aligned(counts), "", *aligned(self.memory.rows())])

    __str__ = table


def layer_cost(layer, input_shape):
    """The `ConvolutionCost` of an `nn.Conv2D` or a `MultiChannelConv2D`."""
    algorithm = getattr(layer, "chosen_algorithm", "direct")
    return convolution_cost(geometry_of(layer), input_shape, layer.bias is not None, algorithm)


def convolution_cost(geometry, input_shape, use_bias=False, algorithm="direct"):
    """The `ConvolutionCost` of a geometry for an input of shape (N, c_i, h, w), or its layout's."""
    output_shape = geometry.output_shape(input_shape)
    N, c_i, h, w = geometry.in_order(input_shape)
    _, c_o, o_h, o_w = geometry.in_order(output_shape)
    geometry = geometry.with_in_channels(c_i)
    algorithm = resolve(algorithm, geometry.core).__name__
    weight = prod(geometry.weight_shape)
    sites = N * o_h * o_w  # each weight is used so often
    products = weight * sites
    bias = c_o if use_bias else 0
    return ConvolutionCost(
        geometry=geometry,
        algorithm=algorithm,
        input_shape=input_shape,
        output_shape=output_shape,
        forward=Operations(products, products - c_o * sites, bias * sites),
        backward=Backward(
            data=Operations(products, products - N * c_i * _pixels_met(geometry, (o_h, o_w))),
            weight=Operations(products, products - weight),
            bias=Operations(0, bias * (sites - 1)),
        ),
        memory=bill(geometry, (N, c_i, h, w), (N, c_o, o_h, o_w), use_bias, algorithm),
    )


def _pixels_met(geometry, output_size):
    """How many pixels of the padded input some window meets: r_h r_w."""
    axes = zip(output_size, geometry.kernel_size, geometry.strides, geometry.dilation)
    return prod(len({s * i + d * a for i in range(o) for a in range(k)}) for o, k, s, d in axes)

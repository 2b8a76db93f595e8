"""The cost of one convolution: a function of its geometry and the shape of its input."""

from dataclasses import astuple, dataclass, fields
from math import prod
from typing import Any, Tuple

from ..._tables import aligned
from ...algorithms import resolve
from ...geometry import ConvGeometry
from ...layer import geometry_of
from .memory import MemoryCost, memory_cost


@dataclass(frozen=True)
class Operations:
    """Numbers of scalar operations, with additions of the bias apart from all other additions."""

    multiplications: int = 0
    additions: int = 0
    bias_additions: int = 0

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(*(a + b for a, b in zip(astuple(self), astuple(other))))


@dataclass(frozen=True)
class Backward:
    """The `Operations` for the gradients of the padded input, the weight and the bias."""

    data: Operations = Operations()
    weight: Operations = Operations()
    bias: Operations = Operations()

    @property
    def total(self) -> Operations:
        """The `Operations` for all three gradients."""
        return self.data + self.weight + self.bias

    @property
    def multiplications(self) -> int:
        """The multiplications for all three gradients."""
        return self.total.multiplications

    @property
    def additions(self) -> int:
        """The additions for all three gradients."""
        return self.total.additions

    def __add__(self, other: "Backward") -> "Backward":
        return Backward(self.data + other.data, self.weight + other.weight, self.bias + other.bias)


@dataclass(frozen=True)
class ConvolutionCost:
    """The cost of a convolution for an input of one shape; `mxconv.count_cost` defines it.

    `str()` gives a table of the operations and the memory.
    """

    geometry: ConvGeometry
    algorithm: str
    input_shape: Tuple[int, ...]
    output_shape: Tuple[int, ...]
    forward: Operations
    backward: Backward
    memory: MemoryCost

    def __str__(self) -> str:
        parts = {"forward": self.forward, "backward": self.backward.total}
        for field in fields(Backward):
            parts[f"  {field.name}"] = getattr(self.backward, field.name)
        header = ["operations", *(field.name.replace("_", " ") for field in fields(Operations))]
        operations = [header, *([name, *astuple(part)] for name, part in parts.items())]
        title = f"{self.input_shape} -> {self.output_shape}, algorithm {self.algorithm!r}"
        return "\n".join([title, "", *aligned(operations), "", *aligned(self.memory.rows())])


def layer_cost(layer: Any, input_shape: Tuple[int, ...]) -> ConvolutionCost:
    """The `ConvolutionCost` of an `nn.Conv2D` or a `MultiChannelConv2D`."""
    algorithm = getattr(layer, "chosen_algorithm", "native")
    return convolution_cost(geometry_of(layer), input_shape, layer.bias is not None, algorithm)


def convolution_cost(
    geometry: ConvGeometry,
    input_shape: Tuple[int, ...],
    use_bias: bool = False,
    algorithm: str = "native",
) -> ConvolutionCost:
    """The `ConvolutionCost` of a geometry; `input_shape` is in the order of its layout."""
    output_shape = geometry.output_shape(input_shape)
    N, c_i, h, w = geometry.to_nchw(input_shape)
    _, c_o, o_h, o_w = geometry.to_nchw(output_shape)
    geometry = geometry.with_in_channels(c_i)
    algorithm = resolve(algorithm, geometry.normalized)
    weight = prod(geometry.weight_shape)
    uses = N * o_h * o_w  # of each element of the weight
    products = weight * uses
    bias = c_o if use_bias else 0
    return ConvolutionCost(
        geometry=geometry,
        algorithm=algorithm,
        input_shape=input_shape,
        output_shape=output_shape,
        forward=Operations(products, products - c_o * uses, bias * uses),
        backward=Backward(
            data=Operations(products, products - N * c_i * _pixels_seen(geometry, (o_h, o_w))),
            weight=Operations(products, products - weight),
            bias=Operations(0, bias * (uses - 1)),
        ),
        memory=memory_cost(geometry, (N, c_i, h, w), (N, c_o, o_h, o_w), use_bias, algorithm),
    )


def _pixels_seen(geometry: ConvGeometry, output_size: Tuple[int, int]) -> int:
    """The number r_h r_w of pixels of the padded input that lie in some window."""
    axes = zip(output_size, geometry.kernel_size, geometry.strides, geometry.dilation)
    return prod(len({s * i + d * a for i in range(o) for a in range(k)}) for o, k, s, d in axes)

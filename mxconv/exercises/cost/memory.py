"""The memory of one convolution, array by array."""

from dataclasses import astuple, dataclass, fields, replace
from math import prod
from typing import Any, Dict, List, Set, Tuple

from ... import dtypes
from ...algorithms import ALGORITHMS
from ...algorithms.record import Algorithm, Shape, Size
from ...geometry import ConvGeometry

ITEM_SIZE = {"planes": 8, "transforms": 16}  # for arrays that don't have the layer's dtype


@dataclass(frozen=True)
class ArrayCounts:
    """The number of elements of each array (from `in_bytes`, of bytes); 0 if it isn't made.

    Attributes
    ----------
    input, weight, bias, output : int
        The arrays that every algorithm has.
    padded : int
        The input with its padding, if it is copied.
    columns : int
        For 'im2col': all windows of the input, N c_i k_h k_w o_h o_w elements.
    columns_copy : int
        For 'im2col': the columns in the order in which the matrix product reads them.
    products : int
        For 'definition': a plane of products for each tap of the kernel, N c_o F times the size of
        an output of stride 1. MXNet runs asynchronously and may hold all of them at once.
    inner_input, inner_weight, inner_output : int
        The arrays of the convolution that 'pad_channels', 'depth_to_space', 'kn2row', 'subsample'
        and 'winograd' run instead, as far as they differ. For 'split_channels', the parts of input,
        weight and output; for 'fft', copies of them.
    planes, transforms : int
        For 'fft': the planes before and after the transforms, in float64; and the transforms, their
        conjugates and their products, in complex128.
    """

    input: int = 0
    weight: int = 0
    bias: int = 0
    output: int = 0
    padded: int = 0
    columns: int = 0
    columns_copy: int = 0
    products: int = 0
    inner_input: int = 0
    inner_weight: int = 0
    inner_output: int = 0
    planes: int = 0
    transforms: int = 0

    @property
    def total(self) -> int:
        """The sum over all arrays."""
        return sum(astuple(self))

    def in_bytes(self, dtype: Any = "float32") -> "ArrayCounts":
        """The same arrays in bytes, for elements of a dtype."""
        size = dtypes.as_dtype(dtype).itemsize
        return ArrayCounts(
            **{name: ITEM_SIZE.get(name, size) * n for name, n in vars(self).items()}
        )


@dataclass(frozen=True)
class MemoryCost:
    """The arrays of a forward and a backward pass.

    Three kinds of memory aren't counted: what operators and NumPy's transforms allocate internally
    (arrays in oneDNN's layouts, scratch space), the transposed copies for `layout='NHWC'`, and
    further copies of an array of the output's size.

    Attributes
    ----------
    forward : ArrayCounts
        The arrays of the forward pass.
    also_saved : tuple of str
        The arrays that the backward pass reads in addition to the usual ones.
    backward_counts : tuple of (str, int)
        The arrays that have another number of elements in the backward pass, and that number.
    """

    forward: ArrayCounts
    also_saved: Tuple[str, ...] = ()
    backward_counts: Tuple[Tuple[str, int], ...] = ()

    @property
    def saved_for_backward(self) -> ArrayCounts:
        """The arrays of the forward pass that the backward pass needs.

        These are the input, the weight, and whatever an algorithm multiplies by the weight in place
        of the input: the columns or, for each product, the part of the input that its tap sees.
        """
        freed = ("bias", "output", "padded", "columns", "inner_output", "planes", "transforms")
        return self._without(*freed)

    @property
    def gradients(self) -> ArrayCounts:
        """The gradients: that of the output, which is given, and those that are computed."""
        return replace(self._without("padded", "products"), **dict(self.backward_counts))

    def _without(self, *names: str) -> ArrayCounts:
        """The arrays of the forward pass without some, unless the backward pass reads them."""
        left_out = dict.fromkeys(set(names) - set(self.also_saved), 0)
        return replace(self.forward, **left_out)

    @property
    def backward(self) -> int:
        """The elements of the saved arrays and of the gradients together."""
        return self.saved_for_backward.total + self.gradients.total

    def rows(self) -> List[Tuple[Any, ...]]:
        """The rows of a table: a header, the elements of each array that is made, and totals."""
        parts = {
            "forward": self.forward,
            "saved": self.saved_for_backward,
            "gradients": self.gradients,
        }
        names = [field.name for field in fields(ArrayCounts) if getattr(self.forward, field.name)]
        return [
            ("elements", *parts),
            *((name, *(getattr(part, name) for part in parts.values())) for name in names),
            ("total", *(part.total for part in parts.values())),
            ("bytes in float32", *(part.in_bytes().total for part in parts.values())),
        ]


def memory_cost(
    geometry: ConvGeometry,
    input_shape: Shape,
    output_shape: Shape,
    use_bias: bool,
    algorithm: str,
) -> MemoryCost:
    """The `MemoryCost` of a convolution; shapes are (N, C, H, W), and c_i has to be known."""
    record, normalized = ALGORITHMS[algorithm], geometry.normalized
    N, c_i, *input_size = input_shape
    size = tuple(geometry.normalized_size(input_size))
    padded = tuple(record.padded_size(normalized, size))
    arrays = {
        "input": prod(input_shape),
        "weight": prod(geometry.weight_shape),
        "bias": geometry.channels if use_bias else 0,
        "output": prod(output_shape),
    }
    if geometry.needs_explicit_padding or padded != size:
        arrays["padded"] = N * c_i * prod(padded)
    arrays.update(_inner_arrays(record, normalized, (N, c_i, *size), padded, output_shape))
    arrays.update(record.arrays(normalized, (N, c_i, *size)))
    backward_counts = record.remade(normalized, (N, c_i, *size))
    return MemoryCost(ArrayCounts(**arrays), record.saved, tuple(backward_counts.items()))


def _inner_arrays(
    record: Algorithm, geometry: ConvGeometry, input_shape: Shape, padded: Size, output_shape: Shape
) -> Dict[str, int]:
    """The arrays of the convolution that MXNet's operator runs, unless they are the outer ones."""
    N, c_i, *size = input_shape
    inner = record.inner(geometry)
    inner_input = (N, inner.in_channels, *record.inner_size(geometry, size))
    pairs: Dict[str, Tuple[Shape, Set[Shape]]] = {
        "inner_input": (inner_input, {(N, c_i, *size), (N, c_i, *padded)}),
        "inner_weight": (inner.weight_shape, {geometry.weight_shape}),
        "inner_output": (inner.output_shape(inner_input), {output_shape}),
    }
    return {name: prod(ours) for name, (ours, outer) in pairs.items() if ours not in outer}

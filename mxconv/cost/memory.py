"""The bill of memory of one convolution, array by array."""

from dataclasses import astuple, dataclass, fields, replace
from math import prod
from typing import Tuple

from .. import dtypes
from ..algorithms import inner, inner_size
from ..algorithms.fourier import Fourier
from ..algorithms.tile import padded_size

PADDING = ("matmul", "definition", "pixels", "tile")  # the algorithms that pad in a step of its own

# What the backward pass needs of an algorithm, as it is the input of another operator.
READ_AGAIN = {"tile": ("padded",), "taps": ("inner_output",)}

ITEMSIZE = {"planes": 8, "transforms": 16}  # of arrays that don't have the layer's dtype


@dataclass(frozen=True)
class Arrays:
    """The elements of each array or, from `in_bytes`, its bytes; 0 for one that isn't made.

    Attributes
    ----------
    input, weight, bias, output : int
    padded : int
        The input with its padding, where a copy of it is made.
    columns : int
        For 'matmul', all windows of the input: N c_i k_h k_w o_h o_w.
    columns_copy : int
        For 'matmul', the columns in the order in which the matrix product reads them.
    products : int
        For 'definition', a plane of products for each tap of the kernel: N c_o F times the size of
        an output of stride 1. MXNet is asynchronous and may hold all before it adds them up.
    inner_input, inner_weight, inner_output : int
        For 'align', 'tile', 'taps' and 'pixels': the arrays of the convolution that is run in this
        one's place, those that differ. For 'split': the parts of input, weight and output; for
        'fourier': their copies.
    planes, transforms : int
        For 'fourier': the planes before and after the transforms, of float64, and the transforms,
        their conjugates and products, of complex128.
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
    def total(self):
        """All arrays together."""
        return sum(astuple(self))

    def in_bytes(self, dtype="float32"):
        """The same arrays in bytes, for elements of a dtype."""
        size = dtypes.as_dtype(dtype).itemsize
        return Arrays(**{name: ITEMSIZE.get(name, size) * n for name, n in vars(self).items()})


@dataclass(frozen=True)
class Memory:
    """The arrays of a forward and a backward pass.

    Not billed: what operators and NumPy's transforms hold in private (blocked copies, scratch), the
    transposed copies of `layout='NHWC'`, and further copies of an array of the output's size.
    `read_again` names the arrays that backward reads beside the usual, and `remade` has the
    elements of those that it makes in other numbers than forward does, by name.
    """

    forward: Arrays
    read_again: Tuple[str, ...] = ()
    remade: Tuple[Tuple[str, int], ...] = ()

    @property
    def kept(self):
        """`Arrays` of the forward pass that the backward pass needs.

        The input, the weight, and what an algorithm multiplies with the weight in the input's
        place: the columns, or for each product the part of the input that its tap meets.
        """
        gone = ("bias", "output", "padded", "columns", "inner_output", "planes", "transforms")
        return self._without(*gone)

    @property
    def gradients(self):
        """`Arrays` of gradients: the output's, which backward gets, and those that it makes."""
        return replace(self._without("padded", "products"), **dict(self.remade))

    def _without(self, *names):
        """The arrays of the forward pass but for some, unless the backward pass reads them."""
        gone = dict.fromkeys(set(names) - set(self.read_again), 0)
        return replace(self.forward, **gone)

    @property
    def backward(self):
        """What is kept and the gradients, together."""
        return self.kept.total + self.gradients.total

    def rows(self):
        """Rows of text and elements: each array that is made, and the totals."""
        parts = {"forward": self.forward, "kept": self.kept, "gradients": self.gradients}
        names = [field.name for field in fields(Arrays) if getattr(self.forward, field.name)]
        return [
            ("elements", *parts),
            *((name, *(getattr(part, name) for part in parts.values())) for name in names),
            ("total", *(part.total for part in parts.values())),
            ("bytes in float32", *(part.in_bytes().total for part in parts.values())),
        ]


def bill(geometry, input_shape, output_shape, use_bias, algorithm):
    """The `Memory` of a convolution; shapes are (N, C, H, W), and c_i is known."""
    N, c_i, *size = input_shape
    core = geometry.core
    core_size = geometry.core_size(size)
    tiled = algorithm == "tile"
    H, W = padded_size(core, core_size) if tiled else core.padded_size(core_size)
    arrays = {
        "input": prod(input_shape),
        "weight": prod(geometry.weight_shape),
        "bias": geometry.channels if use_bias else 0,
        "output": prod(output_shape),
    }
    if geometry.padded_apart or ((H, W) != core_size and algorithm in PADDING):
        arrays["padded"] = N * c_i * H * W
    if algorithm == "matmul":
        arrays["columns"] = N * c_i * prod(geometry.kernel_size) * prod(output_shape[2:])
        arrays["columns_copy"] = arrays["columns"]
    elif algorithm == "definition":
        k_h, k_w = geometry.window  # dilation puts zeros between the taps, and they are multiplied
        taps = geometry.channels * c_i // geometry.groups * k_h * k_w
        arrays["products"] = N * taps * (H - k_h + 1) * (W - k_w + 1)
    elif algorithm in ("split", "fourier"):
        sizes = N * c_i * prod(core_size), arrays["weight"], arrays["output"]
        arrays.update(zip(("inner_input", "inner_weight", "inner_output"), sizes))
    run = inner(algorithm, core)
    inner_input = (N, run.in_channels, *inner_size(algorithm, core, core_size))
    pairs = {  # of that convolution, and what there is anyway
        "inner_input": (inner_input, (N, c_i, *((H, W) if tiled else core_size))),
        "inner_weight": (run.weight_shape, core.weight_shape),
        "inner_output": (run.output_shape(inner_input), output_shape),
    }
    arrays.update({name: prod(ours) for name, (ours, outer) in pairs.items() if ours != outer})
    remade = {}
    if algorithm == "fourier":
        made, remade = _among_frequencies(Fourier(core, (N, c_i, *core_size)))
        arrays.update(made)
    return Memory(Arrays(**arrays), READ_AGAIN.get(algorithm, ()), tuple(remade.items()))


def _among_frequencies(operator):
    """The planes and transforms that 'fourier' makes in its forward and its backward pass."""
    x, weight, y = (prod(operator.grouped[name]) for name in ("x", "weight", "y"))  # planes of each
    before = {
        name: prod(operator.grouped[name]) * prod(place.stop for place in places)
        for name, places in operator.places.items()
    }
    h, w = operator.size
    frequencies = h * (w // 2 + 1)
    forward = {
        "planes": before["x"] + before["weight"] + y * h * w,
        "transforms": (x + 2 * weight + y) * frequencies,  # the weight's conjugate is the second
    }
    backward = {
        "planes": sum(before.values()) + (x + weight) * h * w,
        "transforms": 2 * (x + weight + y) * frequencies,  # of each, two products, a conjugate
    }
    return forward, backward

"""Products of Fourier transforms, for kernels so large that even tiles of outputs are too slow.

At each frequency, a cross-correlation is the product of the input's transform and the conjugate of
the kernel's, no matter how large the kernel is. The gradients are products of the same kind, with
the transform of dy in place of one factor. The transforms are NumPy's, in float64 on the CPU, in a
custom operator: a network with it trains and hybridizes, but programs without mxconv can't run its
graph. So 'auto' never chooses it. `mxconv.choose_algorithms` with `measure=True` does where it is
the fastest.

Every frequency depends on the whole plane. Inf or NaN anywhere in a plane makes all of its outputs
NaN, and the rounding errors of float64 are relative to the largest output, not to each one.

References
----------
M. Mathieu, M. Henaff, Y. LeCun, "Fast Training of Convolutional Networks through FFTs" (2013),
arXiv:1312.5851.
"""

from math import prod
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from mxnet import nd, operator

from .._layouts import plain
from ..geometry import ConvGeometry, parse_op_attr
from .ops import add_bias
from .record import Algorithm, Shape
from .split_channels import copies

OP_TYPE = "mxconv_fft"
MIN_TAPS = 225  # 15 x 15, dilation aside; smaller kernels are summed faster than transformed


def fft(F: Any, x: Any, weight: Any, bias: Any, geometry: ConvGeometry) -> Any:
    """Convolve by Fourier transforms; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    # A custom operator can get an array of oneDNN's before MXNet has converted its layout.
    y = F.Custom(plain(x), plain(weight), op_type=OP_TYPE, **geometry.op_attrs)
    return add_bias(F, plain(y), bias)


# MXNet calls it from threads of its own, where coverage isn't measured.
class FFTConvolution(operator.CustomOp):  # pragma: no cover
    """The convolution without bias, and its gradients, for one geometry and input shape."""

    def __init__(self, geometry: ConvGeometry, input_shape: Shape) -> None:
        super().__init__()
        (n, c_i, *size), c_o, g = input_shape, geometry.channels, geometry.groups
        outputs = geometry.output_shape(input_shape)[2:]
        self.grouped = {
            "x": (n, g, c_i // g),
            "weight": (g, c_o // g, c_i // g),
            "y": (n, g, c_o // g),
        }
        # Where each array's elements go in a plane of the padded size. A product of transforms is
        # a circular correlation, and in a plane of that size nothing wraps around.
        self.places = {
            "x": _slices((1, 1), size, [top for top, _ in geometry.pads]),
            "weight": _slices(geometry.dilation, geometry.kernel_size),
            "y": _slices(geometry.strides, outputs),
        }
        self.size = [_fast_length(length) for length in geometry.padded_size(size)]

    def forward(
        self, is_train: bool, req: List[str], in_data: List[Any], out_data: List[Any], aux: Any
    ) -> None:
        """Compute y[o], the sum of x[o + k] K[k] over the taps k."""
        x, weight = map(self._transform, ("x", "weight"), in_data)
        self._sum("ngihw,goihw->ngohw", x, weight.conj(), "y", out_data[0], req[0])

    def backward(
        self,
        req: List[str],
        out_grad: List[Any],
        in_data: List[Any],
        out_data: List[Any],
        in_grad: List[Any],
        aux: Any,
    ) -> None:
        """Compute dx[i], the sum of dy[o] K[i - o], and dK[k], that of x[o + k] dy[o], over o."""
        dy, x, weight = map(self._transform, ("y", "x", "weight"), (*out_grad, *in_data))
        self._sum("ngohw,goihw->ngihw", dy, weight, "x", in_grad[0], req[0])
        self._sum("ngihw,ngohw->goihw", x, dy.conj(), "weight", in_grad[1], req[1])

    def _transform(self, name: str, array: Any) -> Any:
        """Return the transforms of an array's planes."""
        grouped, places = self.grouped[name], self.places[name]
        planes: Any = np.zeros((*grouped, *(place.stop for place in places)))
        planes[(..., *places)] = array.asnumpy().reshape((*grouped, *array.shape[2:]))
        return np.fft.rfft2(planes, self.size)

    def _sum(
        self, subscripts: str, one: Any, other: Any, name: str, destination: Any, request: str
    ) -> None:
        """Write the sum of products of transforms, transformed back, to an array."""
        planes: Any = np.fft.irfft2(np.einsum(subscripts, one, other), self.size)
        values = planes[(..., *self.places[name])].reshape(destination.shape)
        values = nd.array(values, destination.context, destination.dtype)
        self.assign(destination, request, values)


@operator.register(OP_TYPE)
class FFTProperties(operator.CustomOpProp):
    """What MXNet asks about the operator. It passes attributes as text."""

    def __init__(self, **attributes: str) -> None:
        super().__init__()
        parsed = {name: parse_op_attr(text) for name, text in attributes.items()}
        self.geometry = ConvGeometry.from_op_attrs(parsed)

    def list_arguments(self) -> List[str]:
        """Name the inputs."""
        return ["data", "weight"]

    def infer_shape(self, in_shape: List[Any]) -> Tuple[List[Any], List[Any], List[Any]]:
        """Return the shapes of the inputs, the output, and no auxiliary states."""
        x = in_shape[0]
        weight = self.geometry.with_in_channels(x[1]).weight_shape
        return [x, weight], [self.geometry.output_shape(x)], []

    def create_operator(self, ctx: Any, in_shapes: List[Any], in_dtypes: Any) -> FFTConvolution:
        """Return the operator for input shapes."""
        return FFTConvolution(self.geometry, in_shapes[0])


def _slices(
    steps: Sequence[int], counts: Sequence[int], begins: Sequence[int] = (0, 0)
) -> List[slice]:
    """Return one slice per axis, of `counts` elements that are `steps` apart."""
    return [slice(b, b + s * (n - 1) + 1, s) for s, n, b in zip(steps, counts, begins)]


def _fast_length(length: int) -> int:
    """Return the next length with no prime factor above 7: its transform is fast."""
    rest = length
    for prime in (2, 3, 5, 7):
        while rest % prime == 0:
            rest //= prime
    return length if rest == 1 else _fast_length(length + 1)


def _planes(geometry: ConvGeometry, input_shape: Shape) -> Tuple[Dict[str, int], Dict[str, int]]:
    """Count the elements of planes and transforms in the forward and in the backward pass."""
    operator = FFTConvolution(geometry, input_shape)
    x, weight, y = (prod(operator.grouped[name]) for name in ("x", "weight", "y"))  # planes of each
    before = {
        name: prod(operator.grouped[name]) * prod(place.stop for place in places)
        for name, places in operator.places.items()
    }
    h, w = operator.size
    frequencies = h * (w // 2 + 1)
    forward = {
        "planes": before["x"] + before["weight"] + y * h * w,
        "transforms": (x + 2 * weight + y) * frequencies,  # 2: the weight's and its conjugate
    }
    backward = {
        "planes": sum(before.values()) + (x + weight) * h * w,
        # three transforms, the two products (of x's and the weight's size), and dy's conjugate
        "transforms": 2 * (x + weight + y) * frequencies,
    }
    return forward, backward


def _worth_timing(geometry: ConvGeometry, input_shape: Shape, dtype: Any) -> bool:
    return bool(dtype == np.float32 and prod(geometry.kernel_size) >= MIN_TAPS)


ALGORITHM = Algorithm(
    run=fft,
    summary="products of NumPy's Fourier transforms, in a custom operator",
    suits="kernels of 63×63 and larger",
    worth_timing=_worth_timing,
    arrays=lambda *shapes: {**copies(*shapes), **_planes(*shapes)[0]},
    remade=lambda *shapes: _planes(*shapes)[1],
    plain_gradient=True,
    exact_on_integers=False,
)

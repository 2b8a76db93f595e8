"""Products of Fourier transforms, for kernels so large that tiles are too much to compute.

A cross-correlation is, frequency by frequency, the product of the input's transform with the
conjugate of the kernel's, however large the kernel. Its gradients are products of the same kind,
with the transform of dy in the place of one. The transforms are NumPy's, in float64 on the CPU, in
an operator of our own: a network that has it trains and hybridizes, but programs without mxconv
can't run its graph. So 'auto' doesn't choose it; `mxconv.tune` does where it is fastest.

Every frequency sees the whole plane: Inf or NaN anywhere in it makes NaN of all its outputs, and
the rounding errors of float64 are relative to the largest outputs, not to each.
"""

import numpy as np
from mxnet import nd, operator

from .._layouts import plain
from ..geometry import ConvGeometry, attribute_value
from .steps import add_bias

OP_TYPE = "mxconv_fourier"


def fourier(F, x, weight, bias, geometry):
    """Convolve among frequencies; x (n, c_i, h, w) gives (n, c_o, o_h, o_w)."""
    # An operator of one's own can read an array that oneDNN has laid out before it is converted.
    y = F.Custom(plain(x), plain(weight), op_type=OP_TYPE, **geometry.attributes)
    return add_bias(F, plain(y), bias)


class Fourier(operator.CustomOp):  # pragma: no cover (MXNet's threads, which it doesn't see)
    """The convolution of one geometry and size of input, without bias, and its gradients."""

    def __init__(self, geometry, input_shape):
        super().__init__()
        (n, c_i, *size), c_o, g = input_shape, geometry.channels, geometry.groups
        outputs = geometry.output_shape(input_shape)[2:]
        self.grouped = {
            "x": (n, g, c_i // g),
            "weight": (g, c_o // g, c_i // g),
            "y": (n, g, c_o // g),
        }
        # Where they stand in the padded plane. There nothing comes round from its other side.
        self.places = {
            "x": _every((1, 1), size, geometry.padding),
            "weight": _every(geometry.dilation, geometry.kernel_size),
            "y": _every(geometry.strides, outputs),
        }
        self.size = [_quick(length) for length in geometry.padded_size(size)]

    def forward(self, is_train, req, in_data, out_data, aux):
        """y[o] is the sum of x[o + k] K[k] over the taps k."""
        x, weight = map(self._transform, ("x", "weight"), in_data)
        self._sum("ngihw,goihw->ngohw", x, weight.conj(), "y", out_data[0], req[0])

    def backward(self, req, out_grad, in_data, out_data, in_grad, aux):
        """dx[i] is the sum of dy[o] K[i - o], and dK[k] that of x[o + k] dy[o], over outputs o."""
        dy, x, weight = map(self._transform, ("y", "x", "weight"), (*out_grad, *in_data))
        self._sum("ngohw,goihw->ngihw", dy, weight, "x", in_grad[0], req[0])
        self._sum("ngihw,ngohw->goihw", x, dy.conj(), "weight", in_grad[1], req[1])

    def _transform(self, name, array):
        """The transforms of an array's planes."""
        grouped, places = self.grouped[name], self.places[name]
        planes = np.zeros((*grouped, *(place.stop for place in places)))
        planes[(..., *places)] = array.asnumpy().reshape((*grouped, *array.shape[2:]))
        return np.fft.rfft2(planes, self.size)

    def _sum(self, subscripts, one, other, name, destination, request):
        """Put the sum of products of transforms, transformed back, into an array."""
        planes = np.fft.irfft2(np.einsum(subscripts, one, other), self.size)
        values = planes[(..., *self.places[name])].reshape(destination.shape)
        values = nd.array(values, destination.context, destination.dtype)
        self.assign(destination, request, values)


@operator.register(OP_TYPE)
class FourierProperties(operator.CustomOpProp):
    """What MXNet asks about the operator; it passes the attributes as text."""

    def __init__(self, **attributes):
        super().__init__()
        attributes = {name: attribute_value(text) for name, text in attributes.items()}
        self.geometry = ConvGeometry.of_operator(attributes)

    def list_arguments(self):
        return ["data", "weight"]

    def infer_shape(self, in_shape):
        x = in_shape[0]
        weight = self.geometry.with_in_channels(x[1]).weight_shape
        return [x, weight], [self.geometry.output_shape(x)], []

    def create_operator(self, ctx, in_shapes, in_dtypes):
        return Fourier(self.geometry, in_shapes[0])


def _every(steps, counts, begins=(0, 0)):
    """Slices of so many rows and columns, each a step from the one before."""
    return [slice(b, b + s * (n - 1) + 1, s) for s, n, b in zip(steps, counts, begins)]


def _quick(length):
    """The next length without a prime factor above 7, which transforms quickly."""
    rest = length
    for prime in (2, 3, 5, 7):
        while rest % prime == 0:
            rest //= prime
    return length if rest == 1 else _quick(length + 1)

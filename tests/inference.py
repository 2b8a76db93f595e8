"""Networks for the tests of `for_inference`, and how outputs are compared.

`trained` and `fast` are fixtures, which conftest.py makes known to all files.
"""

from mxconv import for_inference

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import HybridBlock, nn

QUICK = dict(measure=False, progress=False)
FAST = dict(static_alloc=True, static_shape=True)
X = (2, 3, 8, 9)  # the shape of an input


def random(*shape, dtype="float32", ctx=None):
    return nd.random.normal(shape=shape, dtype=dtype, ctx=ctx or mx.cpu())


def sequence(*blocks):
    net = nn.HybridSequential()
    net.add(*blocks)
    return net


def small(conv=nn.Conv2D):
    """Everything that the passes change: BatchNorm, odd channels, activations, a dense layer."""
    layers = [conv(12, 3, padding=1), nn.BatchNorm(), nn.Activation("relu")]
    return sequence(*layers, conv(5, 3, padding=1, activation="relu"), nn.Dense(3))


def ready(net, *inputs, ctx=None):
    """A network with parameters, statistics and shapes, and its inputs."""
    net.initialize(mx.init.Xavier(), ctx=ctx)
    net(*inputs)
    for name, parameter in net.collect_params().items():
        if "running" in name:
            low, high = (-0.5, 0.5) if "mean" in name else (0.5, 2)
            parameter.set_data(nd.random.uniform(low, high, shape=parameter.shape))
    return net, inputs


@pytest.fixture
def trained():
    """A network and its input."""
    net, (x,) = ready(small(), random(*X))
    return net, x


@pytest.fixture
def fast(trained):
    """What `for_inference` makes of it."""
    return for_inference(*trained, **QUICK)


class Siamese(HybridBlock):
    """Nested inputs and outputs, and a layer that is used twice."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.conv = nn.Conv2D(4, 3)

    def hybrid_forward(self, F, x, others):
        first, second = self.conv(x), self.conv(others[0])
        return first + second, [first, [F.broadcast_mul(second, others[1])]]


def flat(outputs):
    """The arrays in nested lists, in order."""
    if isinstance(outputs, (list, tuple)):
        return [array for part in outputs for array in flat(part)]
    return [outputs]


def nesting(outputs):
    return list(map(nesting, outputs)) if isinstance(outputs, (list, tuple)) else 0


def assert_close(actual, expected, tolerance=1e-5):
    """That nested outputs are the same up to rounding, in kind, dtype and shape too."""
    assert nesting(actual) == nesting(expected)
    for ours, theirs in zip(flat(actual), flat(expected)):
        assert type(ours) is type(theirs) and ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        ours, theirs = ours.asnumpy().astype("float64"), theirs.asnumpy().astype("float64")
        assert np.abs(ours - theirs).max() <= tolerance * (np.abs(theirs).max() or 1)

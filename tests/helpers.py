"""What several test files share: the chapter's arrays, layers and inputs, and how they are run.

Inputs and parameters are small integers, whose sums are exact in any order, so that results are
compared for equality.
"""

import re

from mxconv import MultiChannelConv2D

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd

# The arrays of the chapter's second cell, and the three kernels of its fourth.
X = nd.array([[[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[1, 2, 3], [4, 5, 6], [7, 8, 9]]])
K = nd.array([[[0, 1], [2, 3]], [[1, 2], [3, 4]]])
K3 = nd.stack(K, K + 1, K + 2)


# Parameters of tests

SLOW = pytest.mark.slow


def slow_but(values, *fast):
    """The values for `pytest.mark.parametrize`, all of them marked slow but for the fast ones."""
    return [value if value in fast else pytest.param(value, marks=SLOW) for value in values]


def labels(names, cases):
    """Ids for cases that are tuples: each value behind its name."""
    return [
        ", ".join(f"{name}={value}" for name, value in zip(names.split(", "), case))
        for case in cases
    ]


MODES = {  # of hybridization
    "eager": None,
    "hybridized": {},
    "static_alloc": dict(static_alloc=True),
    "static_shape": dict(static_alloc=True, static_shape=True),
}
# Between them, the fast ones run a layer without a graph and with one that reuses its memory.
EVERY_MODE = pytest.mark.parametrize("mode", slow_but(MODES, "eager", "static_shape"))

NAMES = ["definition", "native", "im2col"]  # of the algorithms that support every geometry
EVERY = pytest.mark.parametrize("name", NAMES)

LAYERS = [  # arguments, (h, w) of an input with 4 channels
    (dict(channels=3, kernel_size=3), (6, 7)),
    (dict(channels=4, kernel_size=1), (5, 4)),
    (dict(channels=4, kernel_size=1, strides=2, padding=1), (5, 4)),
    (dict(channels=3, kernel_size=(2, 3), strides=(2, 1), padding=(1, 2)), (6, 7)),
    (dict(channels=2, kernel_size=3, dilation=2, padding=2), (7, 6)),
    (dict(channels=4, kernel_size=3, groups=2, padding=1), (4, 5)),
    (dict(channels=8, kernel_size=(3, 1), groups=4, strides=2), (7, 7)),
    (dict(channels=2, kernel_size=5, use_bias=False), (5, 5)),
    (dict(channels=3, kernel_size=2, activation="tanh"), (4, 4)),
    (dict(channels=1, kernel_size=2, activation="relu", in_channels=4, dilation=(1, 2)), (4, 4)),
]
EVERY_LAYER = pytest.mark.parametrize("arguments, size", LAYERS, ids=str)

INNER = pytest.mark.parametrize(  # algorithms that run MXNet's operator on another geometry
    "name, arguments",
    [
        ("pad_channels", dict(channels=12, kernel_size=3, padding=1, activation="relu")),
        ("depth_to_space", dict(channels=3, kernel_size=(2, 3), strides=(2, 1), dilation=2)),
        ("kn2row", dict(channels=3, kernel_size=(2, 3), padding=1, dilation=(1, 2))),
        ("subsample", dict(channels=8, kernel_size=1, strides=2)),
        ("split_channels", dict(channels=9, kernel_size=3, groups=9, in_channels=9)),
    ],
    ids=str,
)

NUMPY_MODE = {"zeros": "constant", "reflect": "reflect", "edge": "edge", "circular": "wrap"}
PADDINGS = [  # padding_mode, padding
    ("zeros", ((1, 0), (0, 2))),
    ("zeros", "same"),
    ("zeros", "valid"),
    ("reflect", 2),
    ("reflect", ((0, 3), (1, 0))),
    ("edge", (1, 2)),
    ("circular", 2),
    ("circular", ((0, 1), (4, 0))),
]
EVERY_PADDING = pytest.mark.parametrize("padding_mode, padding", PADDINGS, ids=str)


# Numbers, layers and networks


def integers(shape, ctx=None, most=4):
    """Random integers from -most to most."""
    return nd.array(np.random.randint(-most, most + 1, shape), ctx=ctx or mx.cpu())


def images(arguments, n=2):
    """An input for a layer that `build` made with these arguments."""
    return integers((n, arguments.get("in_channels", 4), 9, 8))


def fill(block):
    """Set every parameter of a block to integers."""
    for parameter in block.collect_params().values():
        parameter.set_data(integers(parameter.shape))


def hybridize(block, mode):
    """Hybridize a block as a mode of `MODES` says."""
    if MODES[mode] is not None:
        block.hybridize(**MODES[mode])


def build(name, mode="eager", **arguments):
    """A layer of integers that runs the named algorithm; 4 input channels if none are given."""
    layer = MultiChannelConv2D(**{"in_channels": 4, **arguments}, algorithm=name)
    layer.initialize()
    fill(layer)
    hybridize(layer, mode)
    return layer


def run(block, x, dy=None):
    """The output and the gradients to the input and to each parameter, in NumPy."""
    x = x.copy()
    x.attach_grad()
    with autograd.record():
        y = block(x)
    y.backward(nd.ones_like(y) if dy is None else dy)
    gradients = [p.grad(x.context) for p in block.collect_params().values()]
    return [a.asnumpy() for a in [y, x.grad] + gradients]


def values(net):
    """The parameters of a network by their paths, in NumPy."""
    return {path: p.data().asnumpy() for path, p in net._collect_params_with_prefix().items()}


def assert_same(net, expected):
    """That the parameters of a network have the `values` that are expected, and their dtypes."""
    found = values(net)
    assert found.keys() == expected.keys()
    for path in found:
        assert found[path].dtype == expected[path].dtype
        np.testing.assert_array_equal(found[path], expected[path], err_msg=path)


# What figures and pages show


def value(text):
    """The number that a cell shows."""
    return float(text.replace("−", "-"))


def evaluated(text):
    """The values of both sides of a spelled-out sum."""
    left, right = re.split("[=≈]", text.replace("×", "*").replace("−", "-"))
    return eval(left), float(right)


def luminance(color):
    """Relative luminance of (red, green, blue, ...) as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


# Code that, run first in a process, takes from NumPy the names that it has dropped in 1.24.
NUMPY_124 = """
import numpy
before = getattr(numpy, "__getattr__", None)  # NumPy 1.17 has none
def without_aliases(name):
    if before is None or name in ("bool", "int"):
        raise AttributeError(name)
    return before(name)
for name in ("bool", "int"):
    vars(numpy).pop(name, None)
numpy.__getattr__ = without_aliases
"""

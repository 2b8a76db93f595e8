"""Random convolutions for the property tests.

Shapes are worked out here anew, not taken from mxconv, so that an input fits by construction and
hypothesis has little to throw away. Numbers come from a seed: there is no need to shrink each.
"""

from dataclasses import asdict, dataclass
from typing import Tuple, Union

from geometries import is_depthwise_only
from helpers import MODES, NUMPY_MODE
from mxconv import ConvGeometry
from mxconv.algorithms import ALGORITHMS, NAMES, unsupported
from mxconv.algorithms.winograd import POINTS, transforms

import numpy as np
from hypothesis import strategies as st

# Algorithms that transform, which carries the rounding of one number to others. The rest sum the
# definition's very products in some order, so that sums of integers are exact.
TRANSFORMED = frozenset(name for name in NAMES if not ALGORITHMS[name].exact_on_integers)


def transform_unit(name, dtype):
    """The unit of rounding of an algorithm's transforms, times how much they enlarge numbers."""
    if name != "winograd":
        return np.finfo(np.float64).eps / 2
    in_a_row = np.prod([np.abs(np.float64(m)).sum(1) for m in transforms(POINTS)], axis=0).sum()
    return in_a_row**2 * np.finfo(dtype).eps / 2


MORE_THAN_8 = st.integers(9, 23)
MAX_TAPS = 150  # for 'definition', whose every tap is a step of Python

Size = Union[int, Tuple[int, int]]


@dataclass(frozen=True)
class Case:
    """A layer's arguments, how it is run, an input's shape and the seed of all numbers.

    Shapes here and arrays in the tests are in the order NCHW, whatever the layout.
    """

    channels: int
    kernel_size: Size
    strides: Size
    padding: Union[str, Size, Tuple[Tuple[int, int], Tuple[int, int]]]
    dilation: Size
    groups: int
    layout: str
    use_bias: bool
    in_channels: int
    padding_mode: str
    dtype: str
    mode: str  # of hybridization
    deferred: bool  # whether the layer takes its input channels from the first input
    shape: Tuple[int, int, int, int]
    seed: int

    @property
    def arguments(self):
        """Those of the layer, but for the algorithm."""
        arguments = asdict(self)
        for name in ("mode", "deferred", "shape", "seed"):
            del arguments[name]
        return arguments

    @property
    def window(self):
        return window(self.kernel_size, self.dilation)

    @property
    def margins(self):
        return margins(self.padding, self.window)

    @property
    def weight_shape(self):
        return (self.channels, self.in_channels // self.groups) + as_pair(self.kernel_size)

    @property
    def output_shape(self):
        axes = zip(self.shape[2:], self.margins, self.window, as_pair(self.strides))
        sizes = tuple((h + sum(margin) - w) // s + 1 for h, margin, w, s in axes)
        return (self.shape[0], self.channels) + sizes


def as_pair(value):
    return value if isinstance(value, tuple) else (value, value)


def window(kernel_size, dilation):
    """Height and width of what an output sees."""
    return tuple(d * (k - 1) + 1 for k, d in zip(as_pair(kernel_size), as_pair(dilation)))


def margins(padding, window):
    """The padding as ((top, bottom), (left, right))."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        return tuple(((w - 1) // 2, w // 2) for w in window)
    return tuple(as_pair(side) for side in as_pair(padding))


def numbers(case, real=False):
    """x, weight, bias or None, and dy: integers of at most 4, or numbers of all magnitudes."""
    random = np.random.RandomState(case.seed)

    def draw(shape):
        if real:
            return random.normal(size=shape) * 10 ** random.uniform(-3, 3, shape)
        return random.randint(-4, 5, shape)

    shapes = case.shape, case.weight_shape, (case.channels,), case.output_shape
    x, weight, bias, dy = (draw(shape).astype(case.dtype) for shape in shapes)
    return x, weight, bias if case.use_bias else None, dy


def supports(name, case):
    """Whether an algorithm is for a case, and quick enough at it."""
    given = case.arguments
    geometry = ConvGeometry(
        **{key: given[key] for key in given if key not in ("use_bias", "dtype")}
    )
    c_o, c_i = case.weight_shape[:2]
    if name == "definition" and c_o * c_i * np.prod(case.window) > MAX_TAPS:
        return False
    return not unsupported(name, geometry.normalized)


def algorithms(case):
    """The name of an algorithm that is for the case."""
    return st.sampled_from([name for name in NAMES if supports(name, case)])


def cases(name, **given):
    """Cases that the algorithm is for; `given` as in `any_case`."""
    if name == "winograd":  # few cases would be left
        given.update(kernel_size=3, strides=1, dilation=1, groups=1)
    return any_case(depthwise=is_depthwise_only(name), **given).filter(
        lambda case: supports(name, case)
    )


def sizes(most, least=1):
    """An int or a pair of them."""
    number = st.integers(least, most)
    return number | st.tuples(number, number)


@st.composite
def any_case(draw, outputs=1, whole=False, depthwise=False, **given):
    """A case with at least `outputs` outputs per axis, and the arguments or strategies given.

    padding may be given as a function of the window. If `whole`, the strides divide the input. If
    `depthwise`, there are as many groups as channels, and more than 8.
    """
    if depthwise:
        given.update(dict.fromkeys(("groups", "in_channels", "channels"), draw(MORE_THAN_8)))

    def pick(name, strategy):
        value = given.get(name, strategy)
        return draw(value) if isinstance(value, st.SearchStrategy) else value

    kernel_size = pick("kernel_size", st.just(1) | sizes(5))
    strides = pick("strides", st.just(1) | sizes(3))
    dilation = pick("dilation", st.just(1) | sizes(3))
    groups = pick("groups", st.just(1) | st.integers(2, 4))
    in_channels = pick("in_channels", st.integers(1, 3).map(lambda each: each * groups))
    each = st.integers(1, 4) | st.sampled_from([8, 16])
    channels = pick("channels", each.map(lambda each: each * groups))
    seen = window(kernel_size, dilation)
    padding = pick("padding", paddings(as_pair(strides) == (1, 1)))
    padding = padding(seen) if callable(padding) else padding
    padding_mode = pick("padding_mode", st.sampled_from(sorted(NUMPY_MODE, reverse=True)))
    spare = {"reflect": 1, "circular": 0}.get(padding_mode)
    size = []
    for w, s, margin in zip(seen, as_pair(strides), margins(padding, seen)):
        least = max(1, w + s * (outputs - 1) - sum(margin))
        least = least if spare is None else max(least, max(margin) + spare)
        length = least + draw(st.integers(0, 5))
        size.append(length + -length % s if whole else length)
    return Case(
        channels,
        kernel_size,
        strides,
        padding,
        dilation,
        groups,
        pick("layout", st.sampled_from(["NCHW", "NHWC"])),
        pick("use_bias", st.booleans()),
        in_channels,
        padding_mode,
        pick("dtype", st.sampled_from(["float32", "float64"])),
        pick("mode", st.sampled_from(list(MODES))),
        pick("deferred", st.booleans()),
        (pick("n", st.integers(1, 3)), in_channels) + tuple(size),
        draw(st.integers(0, 2**32 - 1)),
    )


def paddings(unit_strides):
    """Padding of every kind; 'same' is for strides of 1 only."""
    uneven = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2)
    kinds = st.just("valid") | sizes(3, 0) | uneven
    return kinds | st.just("same") if unit_strides else kinds

"""Which algorithm is fastest for one convolution, among those whose results are right."""

import math
import statistics
import time
from dataclasses import asdict
from itertools import count

import mxnet as mx
import numpy as np
from mxnet import autograd, nd

from . import dtypes
from .algorithms import unsupported
from .cost.memory import bill
from .layer import MultiChannelConv2D
from .rounding import gamma

CANDIDATES = ("align", "split", "tile", "taps", "pixels", "blocked", "fourier")  # against 'direct'
MOST_TILED = 8  # output channels; with more of them tiles have nothing to gain
MOST_TAPS = 8  # of all outputs, for each input channel; more of them take more time and memory
FEWEST_TAPS = 225  # of a kernel, zeros between them aside; fewer are summed sooner than transformed
FEWEST_PLACES = 784  # of outputs; with fewer of them their layout costs nothing
MOST_TIMES = 10  # the bytes that 'direct' makes arrays of may a candidate's be,
FEW_BYTES = 2**27  # or this many,
MOST_MORE = 2**30  # and never so many more: steps may hold copies beside what is billed
TOO_SLOW = 4  # times 'direct': none that takes so long wins, whatever the noise
TRIES = 3  # calls that have to take so long; the first of them traces
MARGIN = 1.05  # what a gain has to exceed, if the noise isn't larger
AGAIN = "direct again"  # the same convolution once more: what it differs by is noise
FEWEST = 5  # rounds of calls in turn, however few the seconds,
PATIENCE = 10  # unless they take so many times the seconds
MOST_ROUNDING = 2.0**-4  # no sum is as bad as the bound on more than a million terms in float32
AT_ONCE = 2**20  # elements that are compared in float64 at a time


def fastest(layer, x, training, traced, seconds):
    """The algorithm to take for a layer and its input, its gain, and those refused as wrong.

    `traced` says that the layer is part of a graph, in which 'blocked' is 'direct'.
    """
    names = [name for name in CANDIDATES if _eligible(name, layer, x.shape)]
    if training or traced:
        names = [name for name in names if name != "blocked"]
    names = _affordable(names, layer, x, training)
    if not names:
        return "direct", 1.0, ()
    x = x.detach()  # an array of its own to autograd
    with autograd.pause():
        dy = _copy(layer, "direct", x)(x) if training else None
        if training:
            x.attach_grad()
        names = _quick(layer, names, x, dy)
        refused = _refused(layer, names, x, dy) if names else ()
        copies = {name: _copy(layer, name, x) for name in names if name not in refused}
        if not copies:
            return "direct", 1.0, refused
        copies.update({name: _copy(layer, "direct", x) for name in ("direct", AGAIN)})
        return (*_decide(_measure(copies, x, dy, seconds)), refused)


def _eligible(name, layer, input_shape):
    geometry = layer.geometry.core
    if layer.weight.dtype == dtypes.BFLOAT16 or unsupported(name, geometry):
        return False
    if name == "blocked":
        _, _, o_h, o_w = layer.geometry.in_order(layer.geometry.output_shape(input_shape))
        return o_h * o_w >= FEWEST_PLACES
    if name == "fourier":
        return layer.weight.dtype == np.float32 and math.prod(geometry.kernel_size) >= FEWEST_TAPS
    if name == "taps":
        taps = geometry.channels * math.prod(geometry.kernel_size)
        return not geometry.pointwise and taps <= MOST_TAPS * geometry.in_channels
    return name != "tile" or geometry.channels <= MOST_TILED


def _affordable(names, layer, x, training):
    """Those of the algorithms whose arrays aren't too many: a call of another may end the process.

    All arrays are counted that a pass makes, though not all of them exist at once.
    """
    geometry, dtype = layer.geometry, dtypes.name_of(x.dtype)
    shapes = [geometry.in_order(shape) for shape in (x.shape, geometry.output_shape(x.shape))]

    def size(name):
        memory = bill(geometry, *shapes, layer.bias is not None, name)
        passes = (memory.kept, memory.gradients) if training else (memory.forward,)
        return sum(arrays.in_bytes(dtype).total for arrays in passes)

    least = size("direct")
    most = min(max(MOST_TIMES * least, FEW_BYTES), least + MOST_MORE)
    return [name for name in names if size(name) <= most]


def _quick(layer, names, x, dy):
    """Those of the algorithms that aren't far slower than 'direct', by a few calls of each.

    It comes before all else that is done with them, so that a slow one is called no more often.
    """
    direct = _copy(layer, "direct", x)
    _seconds(direct, x, dy)
    most = TOO_SLOW * _seconds(direct, x, dy)[-1]

    def quick(name):
        copy = _copy(layer, name, x)
        return any(_seconds(copy, x, dy)[-1] <= most for _ in range(TRIES))

    return [name for name in names if quick(name)]


def _copy(layer, algorithm, x, positive=False):
    """A hybridized layer of its own that convolves alike, or with the parameters' magnitudes."""
    copy = MultiChannelConv2D(
        **asdict(layer.geometry),
        use_bias=layer.bias is not None,
        algorithm=algorithm,
        dtype=dtypes.name_of(x.dtype),
        prefix="copy_",  # which takes no number from the layers to come
    )
    copy.initialize(mx.init.Zero(), ctx=x.context)
    for ours, theirs in zip(copy.params.values(), (layer.weight, layer.bias)):
        data = theirs.data(x.context)
        ours.set_data(abs(data) if positive else data)
    copy.hybridize(static_alloc=True, static_shape=True)
    return copy


def _refused(layer, names, x, dy):
    """The algorithms whose results differ from those of 'direct' by more than rounding.

    Magnitudes are compared too: with nothing to cancel, a wrong gradient can't hide in the bound.
    """
    magnitudes = (abs(x), None if dy is None else abs(dy))
    expected = _results(_copy(layer, "direct", x), x, dy)
    bounds = _results(_copy(layer, "direct", x, positive=True), *magnitudes)
    unit = np.finfo(x.dtype).eps / 2
    factors = [
        3 * gamma(min(terms, MOST_ROUNDING / unit), unit)
        for terms in _terms(layer.geometry, x.shape)
    ]

    def right(name):
        return _close(_results(_copy(layer, name, x), x, dy), expected, bounds, factors) and _close(
            _results(_copy(layer, name, x, positive=True), *magnitudes), bounds, bounds, factors
        )

    return tuple(name for name in names if not right(name))


def _results(layer, x, dy):
    """The output or, for a dy, also the gradients to input and parameters."""
    if dy is None:
        arrays = [layer(x)]
    else:
        x.attach_grad()
        with autograd.record():
            y = layer(x)
        y.backward(dy)
        arrays = [y, x.grad, *(p.grad(x.context) for p in layer.params.values())]
    return [array.asnumpy() for array in arrays]


def _close(actual, expected, bounds, factors):
    """Whether no element differs by more than a factor of its bound, array by array.

    It is reckoned in float64, of a part of the elements at a time: the arrays may be large.
    """
    for *arrays, factor in zip(actual, expected, bounds, factors):
        tiny = np.finfo(arrays[0].dtype).tiny
        for begin in range(0, arrays[0].size, AT_ONCE):
            parts = (array.reshape(-1)[begin : begin + AT_ONCE] for array in arrays)
            ours, theirs, bound = (part.astype("float64") for part in parts)
            with np.errstate(invalid="ignore"):  # Inf - Inf, which is NaN and refused
                if not (np.abs(ours - theirs) <= factor * bound + tiny).all():
                    return False
    return True


def _terms(geometry, input_shape):
    """How many products are added up for an element of y, dx, dweight and dbias."""
    weight, y = math.prod(geometry.weight_shape), math.prod(geometry.output_shape(input_shape))
    repeated = math.prod(1 + sum(margin) for margin in geometry.margins)  # in padding, if at all
    places = y // geometry.channels
    return (
        weight // geometry.channels + 1,
        weight // geometry.in_channels + repeated,
        places,
        places,
    )


def _measure(layers, x, dy, seconds):
    """The times of each layer, in turn, call by call, for so many seconds."""
    for layer in layers.values():
        _seconds(layer, x, dy), _seconds(layer, x, dy)
    times = {name: [] for name in layers}
    start = time.perf_counter()
    for rounds in count(1):
        for name, layer in layers.items():
            times[name].append(_seconds(layer, x, dy))
        passed = time.perf_counter() - start
        if passed >= seconds * (1 if rounds >= FEWEST else PATIENCE):
            return times


def _seconds(layer, x, dy):
    """The seconds until the output is there, and until it has been read; or of a training step."""
    start = time.perf_counter()
    if dy is not None:
        with autograd.record():
            y = layer(x)
        y.backward(dy)
        nd.waitall()
        return (time.perf_counter() - start,)
    y = layer(x)
    nd.waitall()
    there = time.perf_counter()
    y = y + 0
    nd.waitall()
    return there - start, time.perf_counter() - start


def _decide(times):
    """The algorithm to take, and its gain, for the times of each."""
    medians = {name: [statistics.median(t) for t in zip(*times[name])] for name in times}
    pairs = list(zip(medians.pop("direct"), medians.pop(AGAIN)))
    noise = max(max(pair) / min(pair) for pair in pairs)
    gains = {
        name: min(min(pair) / median for pair, median in zip(pairs, ours))
        for name, ours in medians.items()
    }
    best = max(gains, key=gains.get)
    return (best, gains[best]) if gains[best] > max(MARGIN, noise) else ("direct", 1.0)

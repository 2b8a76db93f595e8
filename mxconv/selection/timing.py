"""Which algorithm is fastest for one convolution, among those whose results are right."""

import math
import statistics
import time
from dataclasses import asdict
from itertools import count
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import mxnet as mx
import numpy as np
from mxnet import autograd, nd

from .. import dtypes
from ..algorithms import ALGORITHMS
from ..exercises.cost.memory import memory_cost
from ..exercises.rounding import gamma_n
from ..geometry import ConvGeometry
from ..layer import MultiChannelConv2D

# Bytes of arrays. A candidate may take 10 times those of 'native', or ALWAYS_ALLOWED_BYTES if that
# is more, but never MAX_EXTRA_BYTES more: steps may hold copies that aren't counted.
MAX_TIMES_BYTES = 10
ALWAYS_ALLOWED_BYTES = 2**27
MAX_EXTRA_BYTES = 2**30

MAX_SLOWDOWN = 4  # over 'native': beyond that no candidate wins, however noisy the times are
MAX_TRIES = 3  # calls before a slow candidate is dropped; the first one traces
MIN_GAIN = 1.05  # that a winner must exceed, as well as the noise
CONTROL = "native again"  # the same convolution once more: any difference is noise
MIN_ROUNDS = 5  # calls of each candidate, in turn, even if they take longer than `seconds`,
MAX_TIMES_SECONDS = 10  # unless they would take more than 10 times as long

# Caps n u in gamma_n; a million terms of float32 reach it. No real sum comes close to such a bound.
MAX_ROUNDING = 2.0**-4
CHUNK_ELEMENTS = 2**20  # elements compared in float64 at a time

Times = Tuple[float, ...]  # the seconds of one call, see `_seconds`


class Fastest(NamedTuple):
    """The fastest algorithm, its speed-up over 'native', and the algorithms that were wrong."""

    name: str
    gain: float
    rejected: Tuple[str, ...]


def measure_fastest(
    layer: MultiChannelConv2D, x: Any, training: bool, in_graph: bool, seconds: float
) -> Fastest:
    """Measure which algorithm is fastest for a layer and its input.

    Parameters
    ----------
    layer : MultiChannelConv2D
        An initialized layer. It isn't changed.
    x : NDArray
        The layer's input.
    training : bool
        Whether to measure training steps instead of inference.
    in_graph : bool
        Whether the layer is part of the graph of a block above it.
    seconds : float
        How long to measure.
    """
    names = _candidates(layer, x, training or in_graph)
    names = affordable(names, layer.geometry, x.shape, layer.bias is not None, x.dtype, training)
    if not names:
        return Fastest("native", 1.0, ())
    x = x.detach()  # a separate array as far as autograd is concerned
    with autograd.pause():
        dy = _clone_layer(layer, "native", x)(x) if training else None
        if training:
            x.attach_grad()
        names = not_far_slower(names, lambda name: _clone_layer(layer, name, x), x, dy)
        rejected = _rejected(layer, names, x, dy) if names else ()
        clones = {name: _clone_layer(layer, name, x) for name in names if name not in rejected}
        if not clones:
            return Fastest("native", 1.0, rejected)
        clones.update({name: _clone_layer(layer, "native", x) for name in ("native", CONTROL)})
        return Fastest(*best(measure(clones, x, dy, seconds)), rejected)


def _candidates(layer: MultiChannelConv2D, x: Any, like_training: bool) -> List[str]:
    """Return the algorithms that support the layer and may be faster than 'native'."""
    geometry = layer.geometry.normalized
    if layer.weight.dtype == dtypes.BFLOAT16:
        return []
    shape = layer.geometry.normalized_shape(x.shape)
    return [
        name
        for name, algorithm in ALGORITHMS.items()
        if not algorithm.unsupported(geometry)
        and not (like_training and algorithm.eager_inference_only)
        and algorithm.worth_timing(geometry, shape, layer.weight.dtype)
    ]


def affordable(
    names: Sequence[str],
    geometry: ConvGeometry,
    input_shape: Sequence[int],
    has_bias: bool,
    dtype: Any,
    training: bool,
) -> List[str]:
    """Return the algorithms that don't need too much memory, which could crash the process.

    Every array that a pass makes is counted, although not all of them exist at once.
    """
    x_shape = geometry.to_nchw(input_shape)
    y_shape = geometry.to_nchw(geometry.output_shape(input_shape))

    def size(name: str) -> int:
        memory = memory_cost(geometry, x_shape, y_shape, has_bias, name)
        passes = (memory.saved_for_backward, memory.gradients) if training else (memory.forward,)
        return sum(arrays.in_bytes(dtypes.name_of(dtype)).total for arrays in passes)

    native = size("native")
    most = min(max(MAX_TIMES_BYTES * native, ALWAYS_ALLOWED_BYTES), native + MAX_EXTRA_BYTES)
    return [name for name in names if size(name) <= most]


def not_far_slower(
    names: Sequence[str], make: Callable[[str], Callable[[Any], Any]], x: Any, dy: Any = None
) -> List[str]:
    """Return the algorithms that aren't far slower than 'native' in their first few calls.

    This comes before everything else that calls them, so a slow one is called only that often.
    `make(name)` returns a block that runs an algorithm.
    """
    native = make("native")
    _seconds(native, x, dy)
    most = MAX_SLOWDOWN * _seconds(native, x, dy)[-1]

    def is_quick(name: str) -> bool:
        block = make(name)
        return any(_seconds(block, x, dy)[-1] <= most for _ in range(MAX_TRIES))

    return [name for name in names if is_quick(name)]


def _clone_layer(
    layer: MultiChannelConv2D, algorithm: str, x: Any, positive: bool = False
) -> MultiChannelConv2D:
    """Return a separate hybridized layer with the same geometry and parameters.

    With `positive`, it has the magnitudes of the parameters.
    """
    clone = MultiChannelConv2D(
        **asdict(layer.geometry),
        use_bias=layer.bias is not None,
        algorithm=algorithm,
        dtype=dtypes.name_of(x.dtype),
        prefix="copy_",  # so that later layers are numbered as if there were no copies
    )
    clone.initialize(mx.init.Zero(), ctx=x.context)
    for ours, theirs in zip(clone.params.values(), (layer.weight, layer.bias)):
        data = theirs.data(x.context)
        ours.set_data(abs(data) if positive else data)
    clone.hybridize(static_alloc=True, static_shape=True)
    return clone


def _rejected(layer: MultiChannelConv2D, names: Sequence[str], x: Any, dy: Any) -> Tuple[str, ...]:
    """Return the algorithms whose results differ from those of 'native' by more than rounding.

    Magnitudes are compared as well: they leave nothing to cancel, so a wrong gradient can't hide
    within the bound.
    """
    magnitudes = (abs(x), None if dy is None else abs(dy))
    expected = _results(_clone_layer(layer, "native", x), x, dy)
    bounds = _results(_clone_layer(layer, "native", x, positive=True), *magnitudes)
    factors = rounding_factors(layer.geometry, x.shape, x.dtype)

    def is_right(name: str) -> bool:
        actual = _results(_clone_layer(layer, name, x), x, dy)
        if not is_close(actual, expected, bounds, factors):
            return False
        actual = _results(_clone_layer(layer, name, x, positive=True), *magnitudes)
        return is_close(actual, bounds, bounds, factors)

    return tuple(name for name in names if not is_right(name))


def _results(layer: MultiChannelConv2D, x: Any, dy: Any) -> List[Any]:
    """Return the output and, given a dy, the gradients with respect to input and parameters."""
    if dy is None:
        arrays = [layer(x)]
    else:
        x.attach_grad()
        with autograd.record():
            y = layer(x)
        y.backward(dy)
        arrays = [y, x.grad, *(p.grad(x.context) for p in layer.params.values())]
    return [array.asnumpy() for array in arrays]


def is_close(
    actual: Sequence[Any], expected: Sequence[Any], bounds: Sequence[Any], factors: Sequence[float]
) -> bool:
    """Return whether no element differs by more than a factor of its bound, array by array.

    The arrays may be large, so they are compared in float64 one chunk at a time.
    """
    for *arrays, factor in zip(actual, expected, bounds, factors):
        tiny = np.finfo(arrays[0].dtype).tiny
        for begin in range(0, arrays[0].size, CHUNK_ELEMENTS):
            parts = (array.reshape(-1)[begin : begin + CHUNK_ELEMENTS] for array in arrays)
            ours, theirs, bound = (part.astype("float64") for part in parts)
            with np.errstate(invalid="ignore"):  # Inf - Inf is NaN, which fails the comparison
                if not (np.abs(ours - theirs) <= factor * bound + tiny).all():
                    return False
    return True


def rounding_factors(
    geometry: ConvGeometry, input_shape: Tuple[int, ...], dtype: Any
) -> List[float]:
    """Return how far y, dx, dweight and dbias may be off, relative to their sums of magnitudes.

    Each factor is 3 gamma_n: of two results, and of the sum of magnitudes itself.
    """
    unit = float(np.finfo(dtype).eps) / 2
    return [
        3 * gamma_n(min(terms, int(MAX_ROUNDING / unit)), unit)
        for terms in _terms(geometry, input_shape)
    ]


def _terms(geometry: ConvGeometry, input_shape: Tuple[int, ...]) -> Tuple[int, int, int, int]:
    """Return how many products make up an element of y, dx, dweight and dbias."""
    weight, y = math.prod(geometry.weight_shape), math.prod(geometry.output_shape(input_shape))
    copies = math.prod(1 + sum(pads) for pads in geometry.pads)  # of an element in the padding
    pixels = y // geometry.channels
    return (
        weight // geometry.channels + 1,
        weight // geometry.in_channels + copies,
        pixels,
        pixels,
    )


def measure(
    blocks: Mapping[str, Callable[[Any], Any]], x: Any, dy: Any, seconds: float
) -> Dict[str, List[Times]]:
    """Return the times of each block, called in turn for a number of seconds."""
    for block in blocks.values():
        for _ in range(2):
            _seconds(block, x, dy)
    times: Dict[str, List[Times]] = {name: [] for name in blocks}
    start = time.perf_counter()
    for rounds in count(1):
        for name, block in blocks.items():
            times[name].append(_seconds(block, x, dy))
        passed = time.perf_counter() - start
        if passed >= seconds * (1 if rounds >= MIN_ROUNDS else MAX_TIMES_SECONDS):
            break
    return times


def _seconds(block: Callable[[Any], Any], x: Any, dy: Any) -> Times:
    """Return the seconds until the output is computed, and until it has been read.

    Given a dy, return only the seconds of a training step.
    """
    start = time.perf_counter()
    if dy is not None:
        with autograd.record():
            y = block(x)
        y.backward(dy)
        nd.waitall()
        return (time.perf_counter() - start,)
    y = block(x)
    nd.waitall()
    computed = time.perf_counter()
    y = y + 0
    nd.waitall()
    return computed - start, time.perf_counter() - start


def best(times: Mapping[str, Sequence[Times]]) -> Tuple[str, float]:
    """Return the algorithm to choose and its gain, from the times of each."""
    medians = {name: [statistics.median(t) for t in zip(*times[name])] for name in times}
    pairs = list(zip(medians.pop("native"), medians.pop(CONTROL)))
    noise = max(max(pair) / min(pair) for pair in pairs)
    gains = {
        name: min(min(pair) / median for pair, median in zip(pairs, ours))
        for name, ours in medians.items()
    }
    winner = max(gains, key=lambda name: gains[name])
    return (winner, gains[winner]) if gains[winner] > max(MIN_GAIN, noise) else ("native", 1.0)

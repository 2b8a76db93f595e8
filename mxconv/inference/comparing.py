"""Whether two networks compute the same, up to rounding, and which is faster."""

import statistics
import time
from math import prod, sqrt
from typing import Any, Callable, List, NamedTuple, Optional, Sequence

import numpy as np
from mxnet import nd

from .. import dtypes
from .graph import Graph, Node
from .scaling import LINEAR

# Half the distance from 1 to the next number.
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
CASTS = ("amp_cast", "amp_multicast", "Cast")
ROUNDINGS = 3  # of a layer in less than float32: its input, its weight and its output
RESULTS = 2  # that are compared, each with its own rounding errors
SIGNS = 9973  # that are repeated; prime, so that the rows of a weight get different ones
MIN_ROUNDS = 7  # or MIN_LONG_ROUNDS, if these take longer than MAX_TIMES_SECONDS times the seconds
MIN_LONG_ROUNDS = 3
MAX_TIMES_SECONDS = 10

Run = Callable[..., Sequence[nd.NDArray]]


def rounding_tolerance(graph: Graph) -> float:
    """Return how far the outputs of a network may differ by rounding, relative to the largest.

    A sum of n products has a rounding error of about sqrt(n) u times the sum of magnitudes, and
    with high probability no more than a small multiple of it [1]_; `rounding_error_bound` has
    n u, the worst case. The errors of all convolutions and dense layers are added up, for each of
    two results. With bfloat16 and float16, sums are in float32, and each layer rounds its input,
    its weight and its output.

    References
    ----------
    .. [1] N. J. Higham, T. Mary, "A New Approach to Probabilistic Rounding Error Analysis", SIAM
       Journal on Scientific Computing 41 (2019).
    """
    values = [_weight(graph, node) for node in graph.operators(*LINEAR) if len(node.inputs) > 1]
    weights = [value for value in values if value is not None]
    unit = unit_roundoff(graph)
    of_sums = min(unit, UNITS["float32"])
    roundings = ROUNDINGS * len(weights) if unit > of_sums else 0
    terms = [prod(weight.shape) // weight.shape[0] + 1 for weight in weights]
    return RESULTS * (unit * (1 + roundings) + of_sums * sum(2 * sqrt(n) for n in terms))


def unit_roundoff(graph: Graph) -> float:
    """Return the unit roundoff of the coarsest dtype in a network."""
    names = {dtypes.name_of(value.dtype) for value in graph.values.values()}
    names |= {n.attributes.get("dtype", "") for n in graph.operators(*CASTS)}
    return max((UNITS[name] for name in names if name in UNITS), default=UNITS["float32"])


def perturbed(array: nd.NDArray, change: float, random: np.random.RandomState) -> nd.NDArray:
    """Return an array whose elements are larger or smaller by this part of themselves, at random.

    That is what rounding could have made of them. Whole numbers have no rounding error and stay:
    an index or a mask would become another one. So do arrays of bfloat16, which NumPy can't change.
    """
    if not np.issubdtype(array.dtype, np.floating):
        return array
    values = array.asnumpy()
    factors = random.choice((1 - change, 1 + change), min(values.size, SIGNS))
    factors = np.resize(factors.astype(values.dtype), values.shape)
    factors[values == np.rint(values)] = 1
    return nd.array(np.multiply(values, factors, out=factors), array.context, array.dtype)


def _weight(graph: Graph, node: Node) -> Optional[nd.NDArray]:
    """Return the weight of a linear operator as it is stored, or None if it isn't a parameter."""
    entry = node.inputs[1]
    while entry.node.operator in CASTS:
        entry = entry.node.inputs[entry.output]
    return graph.value(entry)


def difference(name: str, expected: Any, actual: Any, tolerance: float) -> float:
    """Return the largest difference of an output, relative to its largest element.

    Parameters
    ----------
    name : str
        The output's name, for errors.
    expected, actual : numpy.ndarray
    tolerance : float
        The most that is allowed.

    Raises
    ------
    ArithmeticError
        If shape or dtype differ, an element isn't finite where it should be, or the difference
        exceeds the tolerance.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        raise ArithmeticError(
            f"{name} should be {expected.dtype} of shape {expected.shape}, and is "
            f"{actual.dtype} of shape {actual.shape}"
        )
    if not expected.size:
        return 0.0
    if expected.dtype == dtypes.BFLOAT16:
        expected, actual = (a.view(np.uint16).astype(np.uint32) << 16 for a in (expected, actual))
        expected, actual = expected.view(np.float32), actual.view(np.float32)
    finite = np.isfinite(expected)
    lost = int((finite & ~np.isfinite(actual)).sum())
    if lost:
        raise ArithmeticError(f"{name} has {lost} elements that aren't finite and should be")
    if not finite.any():
        return 0.0
    wide, other = (a[finite].astype(np.float64) for a in (expected, actual))
    largest = np.abs(wide).max()
    off = float(np.abs(wide - other).max() / (largest or 1))
    if not off <= tolerance:
        raise ArithmeticError(
            f"{name} differs by {off:.1e} of its largest element, {largest:.3g}; at most "
            f"{tolerance:.1e} is allowed"
        )
    return off


class Race(NamedTuple):
    """Two ways to compute the same, timed in turn.

    Attributes
    ----------
    before, after : float
        The median seconds of a call of each.
    gain : float
        How many times faster the second is: the median over pairs of calls.
    """

    before: float
    after: float
    gain: float


def race(first: Run, second: Run, inputs: Sequence[Any], seconds: float) -> Race:
    """Time two ways to compute the same, call by call in turn, for a number of seconds."""
    for run in (first, second):
        if _seconds(run, inputs) < seconds:
            _seconds(run, inputs)
    times: List[Any] = []
    start, passed = time.perf_counter(), 0.0
    while passed < seconds or len(times) < (
        MIN_ROUNDS if passed < MAX_TIMES_SECONDS * seconds else MIN_LONG_ROUNDS
    ):
        if len(times) % 2:
            times.append((_seconds(first, inputs), _seconds(second, inputs)))
        else:
            times.append((_seconds(second, inputs), _seconds(first, inputs))[::-1])
        passed = time.perf_counter() - start
    before, after = (statistics.median(column) for column in zip(*times))
    return Race(before, after, statistics.median(a / b for a, b in times))


def _seconds(run: Run, inputs: Sequence[Any]) -> float:
    start = time.perf_counter()
    for output in run(*inputs):
        output.wait_to_read()
    return time.perf_counter() - start

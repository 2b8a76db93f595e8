"""The network as it was: its graph, its inputs, and what it computes, which judges every plan."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from mxnet import MXNetError, nd
from mxnet.gluon import HybridBlock
from mxnet.gluon.parameter import DeferredInitializationError

from .. import _checks, _gluon
from ..networks.tracing import eager, force_native, forward_of, named_shapes, trace_symbol
from ..selection.apply import GRAPH_LOCK
from .comparing import Run, difference, perturbed, rounding_tolerance, unit_roundoff
from .graph import Graph, Shape
from .program import Program, plain_copy

MAX_REASON = 300  # characters of MXNet's error
# How far outputs may be off if the network amplifies rounding errors:
PATTERNS = 3  # of changes by rounding, of which the one with the largest effect counts
MARGIN = 5  # times that effect: steps that are right were off by up to 1.5 times
MAX_AMPLIFIED = 1e-2  # a pass that is wrong is further off


class Original:
    """A network, traced and run once, with copies of its parameters.

    Attributes
    ----------
    names : list of str
        The names of its inputs in its graph.
    inputs : list of NDArray
        The inputs, flat.
    shapes : dict of tuple
        Their shapes, by name.
    nesting : tuple
        How inputs and outputs are nested.
    graph : Graph
        Its graph.
    tolerance : float
        How far its outputs may be off, relative to the largest element of each.
    amplification : None or float
        How many times more its outputs change than its inputs and parameters, if these change as by
        rounding. None if it wasn't measured, since nothing was off by more than the tolerance.
    """

    def __init__(self, net: HybridBlock, inputs: Sequence[Any], tolerance: Optional[float]) -> None:
        flat, of_inputs = _gluon.flatten_inputs(list(inputs))
        self.inputs = [_plain(x) for x in flat]
        contexts = {x.context for x in self.inputs}
        if len(contexts) > 1:
            raise ValueError(f"expected inputs on one context, received them on {contexts}")
        (self.context,) = contexts
        shapes = _checks.input_shapes(_shapes(inputs), name="inputs")
        self.shapes: Dict[str, Shape] = named_shapes(shapes)
        self.names = list(self.shapes)
        values = _values(net, self.context)
        outputs = _run_on_example(net, inputs)
        self._batches = {_label(flat): (self.inputs, outputs[0])}
        other = other_batch(flat)
        if other is not None:
            try:
                expected, _ = _run_eagerly(net, _gluon.regroup(other, of_inputs))
            except Exception:  # a network may demand its batch size, and raise anything
                pass
            else:
                self._batches[_label(other)] = (list(map(_plain, other)), expected)
        self.nesting = of_inputs, outputs[1]
        with GRAPH_LOCK:
            dtypes = {name: x.dtype for name, x in zip(self.names, self.inputs)}
            self.graph = Graph(trace_symbol(net, forward_of(net), shapes), values, dtypes)
        self.tolerance = rounding_tolerance(self.graph) if tolerance is None else tolerance
        self.amplification: Optional[float] = None
        self._may_adapt = tolerance is None
        try:  # within the tolerance as it is: random numbers would look like amplified rounding
            self._errors(Program(self.graph.symbol(), values, self.names), self.tolerance)
        except ArithmeticError as error:
            if error.__cause__ is not None:  # MXNet can't run the graph at all
                raise ArithmeticError(
                    f"the network runs layer by layer but not hybridized: {error}"
                ) from error
            raise ArithmeticError(
                "expected a network that computes the same at each call, in a graph as layer by "
                f"layer, without random numbers: {error}"
            ) from error

    def check(self, run: Run) -> Dict[str, float]:
        """Return the largest difference of each output, in each batch; raise if it is too large.

        The first that is too large has the network's amplification measured, which may raise the
        tolerance.

        Raises
        ------
        ArithmeticError
            It names the output.
        """
        try:
            return self._errors(run, self.tolerance)
        except ArithmeticError:
            if not self._adapt_tolerance():
                raise
        return self._errors(run, self.tolerance)

    def _adapt_tolerance(self) -> bool:
        """Measure how much the network amplifies rounding, once; return if that allows for more."""
        if not self._may_adapt:
            return False
        self._may_adapt = False
        change = 2 * unit_roundoff(self.graph)  # half of that would be rounded off at 1 + u
        largest = max(self._sensitivity(change, seed) for seed in range(PATTERNS))
        self.amplification = largest / change
        before = self.tolerance
        self.tolerance = max(before, min(MARGIN * largest, MAX_AMPLIFIED))
        return self.tolerance > before

    def _sensitivity(self, change: float, seed: int) -> float:
        """Return how much outputs change if inputs and parameters do, at random, by this part."""
        random = np.random.RandomState(seed)
        values = {name: perturbed(x, change, random) for name, x in self.graph.values.items()}
        run = Program(self.graph.symbol(), values, self.names)
        try:
            errors = self._errors(
                lambda *inputs: run(*(perturbed(x, change, random) for x in inputs)), float("inf")
            )
        except ArithmeticError:  # something isn't finite any more: that allows for nothing
            return 0.0
        return max(errors.values())

    def _errors(self, run: Run, tolerance: float) -> Dict[str, float]:
        """Return the largest difference of each output, in each batch; raise if it is too large."""
        errors = {}
        for batch, (inputs, expected) in self._batches.items():
            try:
                outputs = [output.asnumpy() for output in run(*inputs)]
            except (MXNetError, ValueError) as error:
                *_, reason = str(error).strip().splitlines()
                raise ArithmeticError(f"MXNet can't compute {batch}: {reason}") from error
            for i, (array, output) in enumerate(zip(expected, outputs)):
                name = f"output {i}" if len(expected) > 1 else "the output"
                name += f" for {batch}"
                errors[name] = difference(name, array, output, tolerance)
        return errors


def other_batch(inputs: Sequence[Any]) -> Optional[List[Any]]:
    """Return inputs of another batch size, made of these, or None if they have no common one."""
    if any(not x.shape for x in inputs) or len({x.shape[0] for x in inputs}) != 1:
        return None
    if inputs[0].shape[0] > 1:
        return [x[:1] for x in inputs]
    twice = [nd.concat(x, x.flip(axis=x.ndim - 1), dim=0) for x in map(_plain, inputs)]
    return [y.as_np_ndarray() if _plain(x) is not x else y for x, y in zip(inputs, twice)]


def _plain(x: Any) -> nd.NDArray:
    """Return an array of `mx.np` as one of `mx.nd`."""
    return x if type(x) is nd.NDArray else x.as_nd_ndarray()


def _label(inputs: Sequence[Any]) -> str:
    sizes = {x.shape[0] if x.shape else 0 for x in inputs}
    return f"a batch of {sizes.pop()}" if len(sizes) == 1 else "these inputs"


def _shapes(inputs: Any) -> Any:
    if isinstance(inputs, (list, tuple)):
        return type(inputs)(map(_shapes, inputs))
    return inputs.shape


def _run_on_example(net: HybridBlock, inputs: Sequence[Any]) -> Tuple[List[np.ndarray], Any]:
    """Return what the network computes of the user's inputs, which must suit it.

    Raises
    ------
    ValueError
        If MXNet or Gluon rejects the inputs, or if no element of an output is finite.
    """
    try:
        outputs, nesting = _run_eagerly(net, inputs)
    except (AssertionError, MXNetError) as error:
        *_, reason = str(error).strip().splitlines() or [repr(error)]
        hint = ""
        if any(isinstance(x, (list, tuple)) for x in inputs):
            hint = "; if it takes arrays, not lists of them: for_inference(net, x)"
        raise ValueError(
            f"the network rejects inputs of shapes {_shapes(inputs)}: {reason[:MAX_REASON]}{hint}"
        ) from error
    for i, output in enumerate(outputs):
        if np.issubdtype(output.dtype, np.floating) and output.size:
            if not np.isfinite(output).any():
                raise ValueError(
                    f"expected inputs whose outputs can be compared, received some for which "
                    f"output {i} isn't finite anywhere"
                )
    return outputs, nesting


def _run_eagerly(net: HybridBlock, inputs: Sequence[Any]) -> Tuple[List[np.ndarray], Any]:
    """Return what the network computes layer by layer, by MXNet's operators, and its nesting.

    Neither its graphs nor the choices of its layers change.
    """
    with GRAPH_LOCK, force_native(net), eager(net):
        returned = net(*inputs)
        try:
            outputs, nesting = _gluon.flatten_outputs(returned)
            return [output.asnumpy() for output in outputs], nesting
        except (AttributeError, ValueError):  # None, or Gluon's message, which holds the arrays
            kinds = _kinds(returned)
            raise TypeError(
                "expected a network that can be hybridized: one that returns arrays, nested in "
                f"lists and tuples or not; received a {type(net).__name__} that returns {kinds}"
            ) from None


def _kinds(returned: Any) -> str:
    """Write what a network returns: (NDArray, [dict, NoneType])."""
    if not isinstance(returned, (list, tuple)):
        return type(returned).__name__
    items = ", ".join(map(_kinds, returned))
    return f"[{items}]" if isinstance(returned, list) else f"({items})"


def _values(net: HybridBlock, context: Any) -> Dict[str, nd.NDArray]:
    """Return copies of the parameters, by name."""
    values = {}
    for name, parameter in net.collect_params().items():
        try:
            value = parameter.data(context).as_nd_ndarray()
        except DeferredInitializationError:
            raise ValueError(
                f"{name} doesn't know its shape yet: expected a network whose parameters have "
                "values; call it once before"
            ) from None
        except RuntimeError:
            elsewhere = parameter.list_ctx() if _gluon.has_values(parameter) else None
            instead = f"them on {elsewhere}" if elsewhere else "none"
            raise ValueError(
                f"expected a network whose parameters have values on {context}, where the inputs "
                f"are, received {name} with {instead}: call initialize() or load_parameters()"
            ) from None
        values[name] = plain_copy(value)
    return values

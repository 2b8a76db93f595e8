"""Everything that mxconv uses of MXNet's private parts, each with a line of its own.

MXNet 1.9.1 is the last release, so its private names won't change and can be relied on. No other
module touches them; `tests/test_gluon.py` checks that.
"""

import ctypes
import json
import sys
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from mxnet import Context, MXNetError, init, nd, sym
from mxnet.base import _LIB, check_call
from mxnet.gluon import Block, HybridBlock, Parameter, SymbolBlock, nn, rnn
from mxnet.gluon.block import _BlockScope, _flatten, _regroup

# The code of the method that traces a block, by which its calls are found on the stack.
TRACE = HybridBlock._get_graph.__code__


# Blocks


def children(block: Block) -> Dict[str, Block]:
    """Return a block's direct children, by their names in it."""
    return block._children


def parameters_by_path(block: Block) -> Dict[str, Parameter]:
    """Return the parameters by their places in the network, as `save_parameters` names them."""
    return block._collect_params_with_prefix()


def parameter_arrays(block: HybridBlock, context: Context) -> Dict[str, nd.NDArray]:
    """Return the arrays of a block's own parameters, as `hybrid_forward` takes them."""
    return {name: p.data(context) for name, p in block._reg_params.items()}


def has_deferred_parameters(block: HybridBlock) -> bool:
    """Return whether the initialization of a block's own parameters still awaits a shape."""
    return any(p._deferred_init for p in block._reg_params.values())


def activation_of(layer: nn.Conv2D) -> Optional[str]:
    """Return the name of a convolution's activation function, or None."""
    return None if layer.act is None else layer.act._act_type


def operator_arguments(conv: nn.Conv2D) -> Dict[str, Any]:
    """Return the arguments of a convolution's operator: the dict itself, not a copy."""
    return conv._kwargs


def operator_name(conv: nn.Conv2D) -> str:
    """Return the name of a convolution's operator, which NumPy mode spells in lowercase."""
    return conv._op_name


# Parameters


def has_values(parameter: Parameter) -> bool:
    """Return whether a parameter is initialized."""
    return parameter._data is not None


def is_deferred(parameter: Parameter) -> bool:
    """Return whether a parameter's initialization still awaits a shape or the first use."""
    return bool(parameter._deferred_init)


def arrays_of(parameter: Parameter) -> Optional[List[nd.NDArray]]:
    """Return a parameter's arrays on all its contexts, or None.

    It is the same list until the arrays are replaced.
    """
    return parameter._data


def finish_deferred_init(parameter: Parameter) -> None:
    """Initialize a parameter whose shape is known by now."""
    parameter._finish_deferred_init()


def replace_deferred_initializer(parameter: Parameter, initializer: init.Initializer) -> None:
    """Give another initializer to a parameter whose initialization is deferred."""
    _, *rest = parameter._deferred_init
    parameter._deferred_init = (initializer, *rest)


def draw_weight(initializer: init.Initializer, name: init.InitDesc, array: nd.NDArray) -> None:
    """Fill an array as the initializer fills weights."""
    initializer._init_weight(name, array)


def mean_on_cpu(parameter: Parameter) -> nd.NDArray:
    """Return a copy of a parameter on the CPU: the mean over its contexts."""
    return parameter._reduce()


def load_values(
    parameter: Parameter,
    values: nd.NDArray,
    contexts: Any,
    cast_dtype: bool,
    dtype_source: str,
) -> None:
    """Set a parameter's values as `load_parameters` does, which also initializes it if needed."""
    parameter._load_init(values, contexts, cast_dtype, dtype_source)


def adopt_array(parameter: Parameter, array: nd.NDArray) -> None:
    """Make an array that fits the values of a parameter without gradients, without copying it."""
    parameter._init_impl(array, [array.context])  # which copies it
    parameter._data = [array]


def forget_symbol(parameter: Parameter) -> None:
    """Let a parameter make a new Symbol, which will have its present shape."""
    parameter._var = None


# Arrays and Symbols


def serialized(array: nd.NDArray) -> bytes:
    """Return an array's bytes as in a file of MXNet's."""
    return array.__getstate__()["handle"]


def address_of(array: nd.NDArray) -> int:
    """Return the address in memory of an array's first element, once it is computed."""
    array.wait_to_read()
    first = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(first)))
    return first.value or 0


class _Fields(threading.local):
    """Where MXNet writes the properties of an array: made once per thread, since it takes long."""

    def __init__(self) -> None:
        rank, sizes = ctypes.c_int(), ctypes.POINTER(ctypes.c_int64)()
        dtype, device_type, device_id = (ctypes.c_int() for _ in range(3))
        self.values = rank, sizes, dtype, device_type, device_id
        self.addresses = tuple(map(ctypes.byref, self.values))


_fields = _Fields()


def properties_of(array: nd.NDArray) -> Tuple[int, ...]:
    """Return numbers that stand for an array's shape, dtype and context.

    They are read in a fraction of the time that the array's own properties take, which is what
    counts in a small network.
    """
    rank, sizes, dtype, device_type, device_id = _fields.values
    to_rank, to_sizes, to_dtype, to_device_type, to_device_id = _fields.addresses
    _LIB.MXNDArrayGetShapeEx64(array.handle, to_rank, to_sizes)
    _LIB.MXNDArrayGetDType(array.handle, to_dtype)
    _LIB.MXNDArrayGetContext(array.handle, to_device_type, to_device_id)
    return (*sizes[: rank.value], dtype.value, device_type.value, device_id.value)


def set_symbol_shape(symbol: sym.Symbol, shape: Tuple[int, ...]) -> None:
    """Set the shape that graphs assume for a variable."""
    symbol._set_attr(__shape__=str(shape))


def operator_of(symbol: sym.Symbol) -> Optional[str]:
    """Return the name of a Symbol's operator, or None for a whole graph, which is opaque."""
    try:
        return json.loads(symbol._gen_atomic_symbol().tojson())["nodes"][-1]["op"]
    except MXNetError:
        return None


# Graphs of hybridized blocks


def is_hybridized(block: Block) -> bool:
    """Return whether a call of the block runs a graph; False for one that can't be hybridized."""
    return getattr(block, "_active", False)


def set_hybridized(block: HybridBlock, active: bool) -> None:
    """Switch a block's graph on or off without dropping it."""
    block._active = active


def has_graph(block: HybridBlock) -> bool:
    """Return whether a block's graph can run at once: it exists, and no monitor watches it."""
    return block._cached_op is not None and block._callback is None


def run_graph(block: HybridBlock, x: nd.NDArray, context: Context) -> nd.NDArray:
    """Run a block's graph on its only input."""
    pairs = block._cached_op_args  # (True, position) is x, (False, parameter)
    return block._cached_op(*[x if is_input else p.data(context) for is_input, p in pairs])


def before_graph(block: HybridBlock, question: Callable[[HybridBlock], bool]) -> None:
    """Ask `question(block)` before each run of a block's graph, until the answer is True.

    For that time the block has a method of its own, so later runs cost nothing. Another question
    doesn't replace the first, and one that is asked already isn't asked twice.
    """
    ask_first = vars(block).get("_call_cached_op") or _AskFirst(block)
    ask_first.questions[question] = object()  # a new one, even if the question is the same
    block._call_cached_op = ask_first


class _AskFirst:
    """The method that `before_graph` gives to a block; unlike a function, it is copied with it."""

    def __init__(self, block: HybridBlock) -> None:
        self.block = block
        self.questions: Dict[Callable[[HybridBlock], bool], object] = {}

    def __call__(self, *arguments: Any) -> Any:
        for question, asked in list(self.questions.items()):
            done = question(self.block)
            if done and self.questions.get(question) is asked:  # not one that is newer
                self.questions.pop(question, None)
        if not self.questions:
            vars(self.block).pop("_call_cached_op", None)
        return type(self.block)._call_cached_op(self.block, *arguments)


def makes_its_states(block: Block) -> bool:
    """Return whether a block is a recurrent layer: its call makes states that aren't given."""
    return isinstance(block, rnn.rnn_layer._RNNLayer)


def graph_symbol(block: HybridBlock) -> Any:
    """Return the Symbol that a block was traced to, or None."""
    return block._cached_graph[1] if block._cached_graph else None


def build_graph(block: HybridBlock, arguments: Sequence[Any]) -> None:
    """Trace a block for these arguments."""
    block._build_cache(*arguments)


def drop_graph(block: HybridBlock) -> None:
    """Drop a block's graph, so that its next call traces it anew."""
    block._clear_cached_op()


def flatten_inputs(arguments: Sequence[Any]) -> Tuple[List[Any], Any]:
    """Return the arrays in nested lists and tuples, and how they were nested."""
    flat, nesting = _flatten(arguments, "input")
    return flat, nesting


def flatten_outputs(outputs: Any) -> Tuple[List[Any], Any]:
    """Return the arrays in nested lists and tuples, and how they were nested."""
    flat, nesting = _flatten(outputs, "output")
    return flat, nesting


def regroup(arrays: Sequence[Any], nesting: Any) -> Any:
    """Nest arrays as others were; the inverse of `flatten_inputs` and `flatten_outputs`."""
    return _regroup(arrays, nesting)


def set_signature(
    block: SymbolBlock, inputs: Sequence[Any], of_inputs: Any, of_outputs: Any
) -> None:
    """Tell a block what its inputs are, and how these and its outputs are nested."""
    block._cached_graph = list(inputs), block._cached_graph[1]
    block._in_format, block._out_format = of_inputs, of_outputs


@contextmanager
def iterable_outputs(block: Block) -> Iterator[None]:
    """Let Symbols pass through a `SymbolBlock` of `mx.np` that has a single output.

    MXNet iterates over the block's Symbol, and NumPy's Symbol of one output refuses that.
    """
    if not isinstance(block, SymbolBlock):
        yield
        return
    before = block._cached_graph
    block._cached_graph = before[0], before[1].as_nd_ndarray()
    try:
        yield
    finally:
        block._cached_graph = before


def traces() -> Iterator[Mapping[str, Any]]:
    """Yield the local names of each `HybridBlock._get_graph` on the call stack, innermost first."""
    frame: Optional[FrameType] = sys._getframe(1)
    while frame is not None:
        if frame.f_code is TRACE:
            yield frame.f_locals
        frame = frame.f_back


# Copies and pickles of a block


def state_without_graph(block: HybridBlock) -> Dict[str, Any]:
    """Return a block's attributes without its graph, which can't be copied, and its name scope."""
    state = block.__dict__.copy()
    state.update(_cached_graph=(), _cached_op=None, _cached_op_args=[])
    state.pop("_call_cached_op", None)
    del state["_scope"]
    return state


def restore_state(block: HybridBlock, state: Mapping[str, Any]) -> None:
    """Give a copy of a block its attributes, and a name scope of its own."""
    block.__dict__.update(state, _scope=_BlockScope(block))
    for parameter in block.params.values():  # mark the copied arrays as variables for autograd
        grad_req, parameter.grad_req = parameter.grad_req, "null"
        parameter.grad_req = grad_req

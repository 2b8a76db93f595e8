"""The network that `for_inference` returns: it computes, and refuses everything else."""

from threading import Lock
from typing import Any, List, Mapping, NoReturn, Sequence, Set, Tuple

from mxnet import Context, MXNetError, autograd, gluon, nd, sym
from mxnet.util import is_np_array

from .. import _checks, _gluon, _graphs, _paths, dtypes
from .._checks import ARRAY_TYPES
from ..files.parameters import serialized
from .graph import Graph
from .program import Program
from .report import Report

MADE_BY = "this network was made by mxconv.for_inference"


class FoldedNetwork(gluon.SymbolBlock):
    """A graph as a block that is called as the network was from which it comes.

    Parameters
    ----------
    graph : Symbol
    inputs : list of Symbol
        The variables that are inputs, with their dtypes. The graph need not use all of them.
    parameters : ParameterDict
    nesting : tuple
        How inputs and outputs are nested.
    """

    def __init__(
        self,
        graph: sym.Symbol,
        inputs: Sequence[sym.Symbol],
        parameters: gluon.ParameterDict,
        nesting: Tuple[Any, Any],
    ) -> None:
        used = graph.list_inputs()  # MXNet can't infer dtypes if there are others
        super().__init__(graph, [x for x in inputs if x.name in used], parameters)
        _gluon.set_signature(self, inputs, *nesting)
        self._variables, self._nesting = inputs, nesting

    def forward(self, x: Any, *args: Any) -> Any:
        """Compute the outputs for arrays or Symbols."""
        _flat([x, *args], self._nesting[0])
        returned = super().forward(x, *args)
        if not is_np_array():
            return returned
        outputs, nesting = _gluon.flatten_outputs(returned)  # of `mx.nd` even then
        return _gluon.regroup([output.as_np_ndarray() for output in outputs], nesting)


class InferenceNetwork(FoldedNetwork):
    """A network for inference only, which `mxconv.for_inference` makes from another one.

    It is called as that one is, with any batch size and image size that it takes, from any number
    of threads. It can't be recorded, cast, initialized or trained: do that with the original, and
    make another. Its parameters are copies, folded and rearranged, on one context.

    As part of another network, in `export_onnx` and for AMP it is the folded graph, without other
    algorithms and fusion; `folded()` returns that as a block of its own.

    Attributes
    ----------
    report : Report
        What was done, and what it brought; `print` shows it as a table.

    Notes
    -----
    - NaN and Inf: an output that depends on them isn't finite, but it may be NaN instead of Inf,
      and where the original's isn't either, others may become so: those in the same tile, or whose
      weights are zeros. MXNet's ReLU turns NaN into 0.
    - The first call with another input shape is slow: the graph is prepared anew.
    """

    report: Report  # set by who has built and checked it

    def __init__(
        self,
        folded: Graph,
        graph: Graph,
        symbol: sym.Symbol,
        inputs: Sequence[Tuple[str, nd.NDArray]],
        nesting: Tuple[Any, Any],
    ) -> None:
        names = [name for name, _ in inputs]
        variables = [sym.var(name, dtype=x.dtype) for name, x in inputs]
        super().__init__(folded.symbol(), variables, _fixed(folded.parameters()), nesting)
        self._inputs = [(name, x.ndim, dtypes.name_of(x.dtype)) for name, x in inputs]
        self._context = inputs[0][1].context
        self._symbol, self._values = symbol, graph.parameters()
        self._run, self._lock = Program(symbol, graph.values, names), Lock()
        self._seen: Set[Any] = set()  # what has been checked

    def __repr__(self) -> str:
        names = ", ".join(name for name, *_ in self._inputs)
        outputs = len(self._symbol.list_outputs())
        return f"{type(self).__name__}(inputs={names}; outputs={outputs}; {self.report.summary})"

    # Calling

    def forward(self, x: Any, *args: Any) -> Any:
        """Compute the outputs; Symbols give the folded graph."""
        arrays = _flat([x, *args], self._nesting[0])
        _check_mode()
        if any(isinstance(array, sym.Symbol) for array in arrays):
            for block, _ in _graphs.being_traced():  # whose graph will hold this one
                _gluon.before_graph(block, _check_mode)
            return super().forward(x, *args)
        for (name, rank, dtype), array in zip(self._inputs, arrays):
            self._check(name, rank, dtype, array)
        outputs = self.outputs(*arrays)
        if type(arrays[0]) is not nd.NDArray:
            outputs = [output.as_np_ndarray() for output in outputs]
        return _gluon.regroup(outputs, self._nesting[1])

    def outputs(self, *arrays: nd.NDArray) -> List[nd.NDArray]:
        """Compute the outputs, flat, for flat inputs that are known to fit."""
        try:
            with self._lock:  # each call uses the same buffers
                return self._run(*arrays)
        except MXNetError as error:
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise ValueError(
                f"the network can't take inputs of shapes {shapes}: {error}"
            ) from error

    def _check(self, name: str, rank: int, dtype: str, array: Any) -> None:
        if type(array) not in ARRAY_TYPES:
            raise TypeError(
                f"{name} has the wrong type: expected an MXNet array, received a "
                f"{type(array).__module__}.{type(array).__name__}"
            )
        *shape, kind, device, number = _gluon.properties_of(array)
        key = (name, len(shape), kind, device, number)
        if key in self._seen:
            return
        if array.ndim != rank or dtypes.name_of(array.dtype) != dtype:
            raise ValueError(
                f"expected {name} to be {dtype} with {rank} axes, as in for_inference, received "
                f"{dtypes.name_of(array.dtype)} of shape {array.shape}"
            )
        if array.context != self._context:
            raise ValueError(
                f"expected {name} on {self._context}, as in for_inference, received it on "
                f"{array.context}: call for_inference again with an input there"
            )
        self._seen.add(key)

    # Refusing

    def cast(self, dtype: Any) -> NoReturn:
        """Refuse."""
        _refuse("cast")

    def initialize(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse."""
        _refuse("initialized")

    def load_parameters(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse."""
        _refuse("loaded: its parameters are folded and rearranged")

    def save_parameters(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: they couldn't be loaded."""
        _refuse("saved by its parameters: use export")

    def optimize_for(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse."""
        _refuse("optimized again")

    def reset_ctx(self, ctx: Any) -> NoReturn:
        """Refuse."""
        _refuse("moved to another context")

    def __deepcopy__(self, memo: Any) -> NoReturn:
        _refuse("copied")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        _refuse("pickled: use export")

    def hybridize(self, active: bool = True, **kwargs: Any) -> None:
        """Do nothing: it is a graph already, whatever the blocks around it are."""

    # Files

    def folded(self) -> FoldedNetwork:
        """Return the folded graph as a block of MXNet's, which shares this network's parameters.

        MXNet's tools work on it: INT8 (`quantize_net_v2`), AMP, `optimize_for`, `export`.
        """
        graph = _gluon.graph_symbol(self)
        return FoldedNetwork(graph, self._variables, self.collect_params(), self._nesting)

    def export(self, path: Any, epoch: int = 0, remove_amp_cast: bool = False) -> None:
        """Write the graph that runs here, and its parameters, for MXNet without mxconv.

        Parameters
        ----------
        path : str or Path
            The beginning of the files' names: path-symbol.json and path-0000.params. Each file is
            replaced atomically, and neither if one can't be written.
        epoch : int
            The number in the second name.
        remove_amp_cast : bool
            Accepted as in MXNet, but casts stay: without them the files would be another network.

        Raises
        ------
        ValueError
            If the directory doesn't exist.
        OSError
            If a file can't be written.

        Notes
        -----
        The files give the same outputs to the bit on the same machine. `Module` and the C API,
        however, fuse operators by themselves unless the environment has
        MXNET_SUBGRAPH_BACKEND=NONE; this network has what was fastest.
        """
        _checks.integer("epoch", epoch, 0)
        states = set(self._symbol.list_auxiliary_states())
        arrays = {
            f"{'aux' if name in states else 'arg'}:{name}": value.copyto(Context("cpu"))
            for name, value in self._values.items()
        }
        graph = _paths.writable(f"{_paths.as_path(path)}-symbol.json", (".json",))
        parameters = _paths.writable(f"{_paths.as_path(path)}-{epoch:04d}.params", (".params",))
        symbol = self._symbol.tojson(remove_amp_cast=False).encode()
        _paths.write_together({parameters: serialized(arrays), graph: symbol})


class _Fixed(gluon.Parameter):
    """A parameter that keeps its values, since others have been computed from them."""

    def initialize(self, *args: Any, force_reinit: bool = False, **kwargs: Any) -> None:
        """Do nothing, or refuse to forget the values."""
        if force_reinit:
            _refuse("initialized")

    def set_data(self, data: Any) -> NoReturn:
        """Refuse."""
        _refuse("loaded: its parameters are folded and rearranged")

    def cast(self, dtype: Any) -> NoReturn:
        """Refuse."""
        _refuse("cast")

    def reset_ctx(self, ctx: Any) -> NoReturn:
        """Refuse."""
        _refuse("moved to another context")


def _fixed(values: Mapping[str, nd.NDArray]) -> gluon.ParameterDict:
    """Return parameters that hold these arrays."""
    parameters = gluon.ParameterDict()
    for name, value in values.items():
        parameter = _Fixed(name, "null", value.shape, value.dtype, allow_deferred_init=True)
        _gluon.adopt_array(parameter, value)
        parameters.update({name: parameter})
    return parameters


def _refuse(what: str) -> NoReturn:
    raise TypeError(f"{MADE_BY} and can't be {what}; do that with the original, and make another")


def _check_mode(block: Any = None) -> bool:
    """Raise if a call would be recorded; return False, so that `before_graph` keeps asking."""
    if autograd.is_recording() or autograd.is_training():
        mode = "recorded" if autograd.is_recording() else "run in training mode"
        raise RuntimeError(
            f"{MADE_BY}: it has no gradients and can't be {mode}; record the original network"
        )
    return False


def _flat(arguments: Sequence[Any], expected: Any) -> List[Any]:
    """Return the arrays of a call, which must be nested as expected.

    Raises
    ------
    TypeError
        If there are more or fewer arguments, or something else than arrays.
    ValueError
        If they are nested in another way.
    """
    try:
        arrays, given = _gluon.flatten_inputs(arguments)
    except ValueError:  # its message holds the whole array
        kinds = ", ".join(f"{type(x).__module__}.{type(x).__name__}" for x in arguments)
        raise TypeError(
            f"an input has the wrong type: expected MXNet arrays, received {kinds}"
        ) from None
    if given != expected:
        error = ValueError if len(given) == len(expected) else TypeError
        raise error(
            f"expected inputs as for_inference got them, ({_spelled(expected)}), received "
            f"({_spelled(given)})"
        )
    return arrays


def _spelled(nesting: Any) -> str:
    """Write how arguments are nested: array, [array, array]."""
    texts = {0: "array", -1: "None"}  # as Gluon's `_flatten` has it
    return ", ".join(
        f"[{_spelled(part)}]" if isinstance(part, list) else texts.get(part, "arrays")
        for part in nesting
    )

"""Export of a network to an ONNX file, which other runtimes read."""

from contextlib import redirect_stdout
from typing import Any, Dict, List, Tuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from .. import _checks, _gluon, dtypes
from .._paths import writable, write
from ..networks.tracing import forward_of, named_shapes, trace_symbol
from .onnx_check import compare
from .onnx_model import BATCHES, OPSET, Case, Value, translate


def export_onnx(
    net: Any, path: Any, input_shape: Any, dtype: Any = "float32", check: bool = True
) -> None:
    """Export a network, with its parameters, to an ONNX file of opset 13.

    Every convolution is written as ONNX's `Conv`, whichever algorithm its layer uses here. Every
    padding mode and layout is expressed by `Pad`, `Slice`, `Concat` and `Transpose` around it. The
    network's algorithms, hybridization, traced graph and parameters stay as they are.

    The file has all of the network's inputs and outputs in their order, including those in nested
    lists. They are named 'data' and 'output' or, if there are several, 'data0', 'data1' and
    'output0', 'output1' and so on.

    Parameters
    ----------
    net : HybridBlock
        A network or a single layer, whose parameters have values. It needn't be hybridized.
    path : str or Path
        The file, ending in '.onnx'. It is replaced atomically.
    input_shape : tuple of int, or tuple of such tuples
        The shape of the input, batch first, or of each of several inputs; an input that is a list
        of arrays has a list of shapes. A batch size of None allows any size.
    dtype : {'float32', 'float64', 'float16'}, or tuple of these
        The dtype of all inputs, or of each. It is also that of the parameters.
    check : bool
        Whether to compare the file with the network before it is written. Outputs for random inputs
        are compared, in batches of 1 and 3 if any size is allowed. Without onnxruntime, or where it
        or MXNet lacks an operator for a dtype, only their shapes and dtypes are. Pass False for a
        network that is too large to run here, or whose outputs are known to differ.

    Raises
    ------
    ImportError
        If onnx is missing, or MXNet can't use its version. The extra `mxconv[onnx]` installs one
        that works.
    TypeError
        If `net` isn't a HybridBlock or can't be traced, or another argument has the wrong type.
    ValueError
        If the path can't be written, a parameter has no values, the network doesn't take such
        inputs, MXNet can't translate one of its operators, or the file would compute something
        else than the network.

    See Also
    --------
    save_parameters : For parameters that stay in Python.

    Examples
    --------
    >>> export_onnx(net, "lenet.onnx", (None, 1, 8, 8))
    >>> session = onnxruntime.InferenceSession("lenet.onnx")
    >>> (y,) = session.run(None, {"data": x.asnumpy()})
    """
    onnx = _import_onnx()
    path = writable(path, (".onnx",))
    shapes = _checks.input_shapes(input_shape, any_batch=True)
    inputs = _inputs(named_shapes(shapes), dtype)
    check = _checks.boolean("check", check)
    _checks.instance("net", net, HybridBlock, "an mxnet.gluon.HybridBlock")
    graph = trace_symbol(net, forward_of(net), shapes)
    graph = mx.sym.load_json(graph.tojson())  # drops AMP's casts, which MXNet doesn't translate
    values = _values(net, graph, inputs)
    cases = _cases(graph, values, inputs, f"input_shape={input_shape} and dtype={dtype!r}")
    model = translate(onnx, graph, values, cases)
    if check:
        compare(onnx, model, graph, values, cases)
    write(path, model.SerializeToString())


def _import_onnx() -> Any:
    try:
        import onnx
        from onnx import mapping  # noqa: F401  (MXNet needs it, and onnx 1.19 has dropped it)
    except ImportError as error:
        raise ImportError(
            f"export_onnx needs onnx, version 1.13 to 1.18 ({error}): run  "
            'python -m pip install "mxconv[onnx]"'
        ) from error
    if not mx.onnx.get_operator_support(OPSET):
        raise ImportError("onnx was installed after MXNet had been imported: restart Python")
    return onnx


def _inputs(shapes: Dict[str, Tuple], dtype: Any) -> List[Value]:
    """The inputs, in which a batch size of None still stands for any size."""
    types = dtype if isinstance(dtype, (tuple, list)) else [dtype] * len(shapes)
    if len(types) != len(shapes):
        raise ValueError(
            f"expected one dtype, or one for each of {len(shapes)} inputs, received dtype={dtype!r}"
        )
    return [
        Value(name, shape, _exportable(one)) for (name, shape), one in zip(shapes.items(), types)
    ]


def _exportable(value: Any) -> np.dtype:
    """`value` as a dtype that MXNet can write to ONNX."""
    dtype = dtypes.as_dtype(value)
    if dtype == dtypes.BFLOAT16:
        raise ValueError(
            "dtype can't be exported: expected 'float32', 'float64' or 'float16', received "
            "dtype='bfloat16'; export the network as float32, and convert the file"
        )
    return dtype


def _values(net: Any, graph: Any, inputs: List[Value]) -> Dict[str, Any]:
    """The values, by name, of the parameters that are in the graph."""
    names = set(graph.list_inputs())
    parameters = [p for p in net.collect_params().values() if p.name in names]
    used = {p.name for p in parameters}
    given = {value.name for value in inputs}
    for name in sorted(used.intersection(given.union(_output_names(graph)))):
        raise ValueError(
            "expected parameters with other names than the file's inputs and outputs, received "
            f"one named {name!r}; give its block a prefix"
        )
    for name in sorted(names - used - given):
        raise ValueError(
            f"expected a network of {len(inputs)} inputs and its parameters, received a "
            f"{type(net).__name__} that also has a variable {name!r}"
        )
    try:
        return {p.name: _gluon.mean_on_cpu(p) for p in parameters}
    except RuntimeError as error:
        raise ValueError(
            "expected a network whose parameters all have values, received a "
            f"{type(net).__name__} in which some have none; call net.initialize() or "
            "net.load_parameters(...), and net(x) once if input channels are deferred"
        ) from error


def _output_names(graph: Any) -> List[str]:
    return ["output"] if len(graph) == 1 else [f"output{i}" for i in range(len(graph))]


def _cases(graph: Any, values: Dict[str, Any], inputs: List[Value], received: str) -> List[Case]:
    """The inputs and outputs for each batch size that the file is tried with."""
    if all(value.shape[0] for value in inputs):
        return [(inputs, _outputs(graph, values, inputs, received))]
    cases = []
    for batch in BATCHES:
        shapes = [(value.shape[0] or batch, *value.shape[1:]) for value in inputs]
        sized = [value._replace(shape=shape) for value, shape in zip(inputs, shapes)]
        cases.append((sized, _outputs(graph, values, sized, f"{received}, a batch of {batch}")))
    return cases


def _outputs(graph: Any, values: Dict[str, Any], inputs: List[Value], received: str) -> List[Value]:
    """The outputs, as MXNet infers them from the inputs and the parameters."""
    used = set(graph.list_inputs())
    known = [Value(name, value.shape, value.dtype) for name, value in values.items()]
    known += [value for value in inputs if value.name in used]
    try:
        with redirect_stdout(None):  # MXNet prints the shapes when it fails
            _, shapes, _ = graph.infer_shape(**{value.name: value.shape for value in known})
            _, types, _ = graph.infer_type(**{value.name: value.dtype for value in known})
    except mx.MXNetError as error:
        raise ValueError(f"the network doesn't take {received}: {error}") from error
    if shapes is None or types is None:
        raise ValueError(f"{received} leaves the outputs' shapes or dtypes undecided")
    return [Value(*output) for output in zip(_output_names(graph), shapes, map(np.dtype, types))]

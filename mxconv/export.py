"""Out of Python: a network as an ONNX file, which other runtimes read."""

from contextlib import redirect_stdout
from typing import NamedTuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from . import _checks, dtypes
from ._files import writable, write
from ._onnx_check import compare
from ._onnx_model import BATCHES, OPSET, translate
from .network import graph_of, named_shapes


class Value(NamedTuple):
    """An input or an output of the file."""

    name: str
    shape: tuple
    dtype: np.dtype


def export_onnx(net, path, input_shape, dtype="float32", check=True):
    """Write a network, with its parameters, as an ONNX file of opset 13.

    Every layer is written as ONNX's `Conv`, whichever algorithm it runs with here, and every kind
    of padding and layout as ONNX's `Pad`, `Slice`, `Concat` and `Transpose` around it. The network
    stays as it is: algorithms, hybridization, traced graph and parameters.

    The file has all of the network's inputs and outputs, in its order, those in lists among them.
    They are named 'data' and 'output' or, where there are several, 'data0', 'data1' and 'output0',
    'output1' and so on.

    Parameters
    ----------
    net : HybridBlock
        A network or a layer, whose parameters have values. It needn't be hybridized.
    path : str or Path
        The file, ending in '.onnx'; its reader sees the old file or the new one, never a part.
    input_shape : tuple of int, or tuple of such tuples
        The shape of the input, batch first, or of each of several; where the network takes a list
        of arrays, a list of shapes. A batch of None is one of any size.
    dtype : {'float32', 'float64', 'float16'}, or tuple of these
        The dtype of the inputs, or of each, and so of the parameters.
    check : bool
        Whether the file is compared with the network before it is written: by its outputs for
        random numbers, in batches of 1 and 3 where any is allowed; by their shapes and dtypes alone
        without onnxruntime, or where it or MXNet lacks an operator in some dtype. False is for
        networks that are too large to be run here, or known to differ.

    Raises
    ------
    ImportError
        There is no onnx, or one that MXNet can't use; the extra `mxconv[onnx]` holds one it can.
    TypeError, ValueError
        A net that isn't a HybridBlock or can't be traced, a path that can't be written, parameters
        without values, a shape or dtype that the network doesn't take, an operator that MXNet
        doesn't translate, or a file that would compute something else than the network.

    Examples
    --------
    >>> export_onnx(net, "lenet.onnx", (None, 1, 8, 8))
    >>> session = onnxruntime.InferenceSession("lenet.onnx")
    >>> (y,) = session.run(None, {"data": x.asnumpy()})
    """
    onnx = _onnx()
    path = writable(path, (".onnx",))
    shapes = _checks.input_shapes(input_shape, any_batch=True)
    inputs = _inputs(named_shapes(shapes), dtype)
    check = _checks.boolean("check", check)
    _checks.instance("net", net, HybridBlock, "a mxnet.gluon.HybridBlock")
    graph = graph_of(net, net.forward, shapes)  # as a hybridized one is traced, without its hooks
    graph = mx.sym.load_json(graph.tojson())  # without AMP's casts, which MXNet doesn't translate
    values = _values(net, graph, inputs)
    cases = _cases(graph, values, inputs, f"input_shape={input_shape} and dtype={dtype!r}")
    model = translate(onnx, graph, values, cases)
    if check:
        compare(onnx, model, graph, values, cases)
    write(path, model.SerializeToString())


def _onnx():
    try:
        import onnx
        from onnx import mapping  # noqa: F401  (MXNet needs it, and onnx 1.19 has dropped it)
    except ImportError as error:
        raise ImportError(
            f"export_onnx needs onnx of a version from 1.13 to 1.18 ({error}): run  "
            'python -m pip install "mxconv[onnx]"'
        ) from error
    if not mx.onnx.get_operator_support(OPSET):
        raise ImportError("onnx was installed after MXNet had been imported: restart Python")
    return onnx


def _inputs(shapes, dtype):
    """The inputs, where None is still a batch of any size."""
    types = dtype if isinstance(dtype, (tuple, list)) else [dtype] * len(shapes)
    if len(types) != len(shapes):
        raise ValueError(
            f"expected one dtype, or one for each of {len(shapes)} inputs, received dtype={dtype!r}"
        )
    return [Value(name, shape, _dtype(one)) for (name, shape), one in zip(shapes.items(), types)]


def _dtype(value):
    dtype = dtypes.as_dtype(value)
    if dtype == dtypes.BFLOAT16:
        raise ValueError(
            "MXNet writes float32, float64 and float16 to ONNX, received dtype='bfloat16': export "
            "the network as float32, and convert the file"
        )
    return dtype


def _values(net, graph, inputs):
    """The parameters that the graph has, by name."""
    names = set(graph.list_inputs())
    parameters = [p for p in net.collect_params().values() if p.name in names]
    used = {p.name for p in parameters}
    given = {value.name for value in inputs}
    for name in sorted(used.intersection(given.union(_output_names(graph)))):
        raise ValueError(
            f"expected parameters of other names than those of the file's inputs and outputs, "
            f"received one named {name!r}: give its block a prefix"
        )
    for name in sorted(names - used - given):
        raise ValueError(
            f"expected a network of {len(inputs)} inputs and of parameters, received a "
            f"{type(net).__name__} with a variable {name!r} besides"
        )
    try:
        return {p.name: p._reduce() for p in parameters}  # copies of all contexts, on the CPU
    except RuntimeError as error:
        raise ValueError(
            f"expected a network whose parameters have values, received a {type(net).__name__} "
            "without: call net.initialize() or net.load_parameters(...), and net(x) once where "
            "input channels are deferred"
        ) from error


def _output_names(graph):
    return ["output"] if len(graph) == 1 else [f"output{i}" for i in range(len(graph))]


def _cases(graph, values, inputs, received):
    """The inputs and outputs, in a pair, for each size of the batch that the file is tried with."""
    if all(value.shape[0] for value in inputs):
        return [(inputs, _outputs(graph, values, inputs, received))]
    cases = []
    for batch in BATCHES:
        shapes = [(value.shape[0] or batch, *value.shape[1:]) for value in inputs]
        sized = [value._replace(shape=shape) for value, shape in zip(inputs, shapes)]
        cases.append((sized, _outputs(graph, values, sized, f"{received}, a batch of {batch}")))
    return cases


def _outputs(graph, values, inputs, received):
    """The outputs, as MXNet infers them from the inputs and the parameters."""
    used = set(graph.list_inputs())
    known = [Value(name, value.shape, value.dtype) for name, value in values.items()]
    known += [value for value in inputs if value.name in used]
    try:
        with redirect_stdout(None):  # to which MXNet prints what it was given
            _, shapes, _ = graph.infer_shape(**{value.name: value.shape for value in known})
            _, types, _ = graph.infer_type(**{value.name: value.dtype for value in known})
    except mx.MXNetError as error:
        raise ValueError(f"the network doesn't take an input of {received}: {error}") from error
    if shapes is None or types is None:
        raise ValueError(f"an input of {received} leaves the outputs' shapes or dtypes undecided")
    return [Value(*output) for output in zip(_output_names(graph), shapes, map(np.dtype, types))]

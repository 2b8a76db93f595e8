"""Out of Python: a network as an ONNX file, which other runtimes read."""

import tempfile
from contextlib import contextmanager
from pathlib import Path

import mxnet as mx
from mxnet.gluon import HybridBlock

from . import _checks, dtypes
from ._files import writable, write
from .network import graph_of

# The newest operator set that MXNet 1.9.1 translates to, and the file format that came with it.
# Left alone, MXNet would label its operators with the newest set that the installed onnx knows.
OPSET, IR_VERSION = 13, 7


def export_onnx(net, path, input_shape, dtype="float32"):
    """Write a network, with its parameters, as an ONNX file of opset 13.

    Every layer is written as ONNX's `Conv`, whichever algorithm it runs with here, and every kind
    of padding and layout as ONNX's `Pad`, `Slice`, `Concat` and `Transpose` around it. The network
    stays as it is: algorithms, hybridization, traced graph and parameters.

    Parameters
    ----------
    net : HybridBlock
        A network or a layer with one input, whose parameters have values. It needn't be hybridized.
    path : str or Path
        The file, ending in '.onnx'; its reader sees the old file or the new one, never a part.
    input_shape : tuple of int
        The shape of an input, batch first. A batch of None is one of any size, as far as the
        translations of the network's operators don't fix it; those of the model zoo don't.
    dtype : {'float32', 'float64', 'float16'}
        The dtype of the input, and so of the parameters.

    Raises
    ------
    ImportError
        There is no onnx, or one that MXNet can't use; the extra `mxconv[onnx]` holds one it can.
    TypeError, ValueError
        A net that isn't a HybridBlock or can't be traced, a path that can't be written, parameters
        without values, a shape or dtype that the network doesn't take, or an operator that MXNet
        doesn't translate.

    Examples
    --------
    >>> export_onnx(net, "lenet.onnx", (None, 1, 8, 8))
    >>> session = onnxruntime.InferenceSession("lenet.onnx")
    >>> (y,) = session.run(None, {"data": x.asnumpy()})
    """
    onnx = _onnx()
    path = writable(path, (".onnx",))
    shape, dtype = _checks.input_shape(input_shape, any_batch=True), _dtype(dtype)
    shapes = (shape,)
    _checks.instance("net", net, HybridBlock, "a mxnet.gluon.HybridBlock")
    graph = graph_of(net, net.forward, shapes)  # hooks on it stay out of a hybridized one's graph too
    values = _values(net, graph)
    _check_input(graph, values, shape, dtype)
    write(path, _translate(onnx, graph, values, shape, dtype).SerializeToString())


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


def _dtype(value):
    dtype = dtypes.as_dtype(value)
    if dtype == dtypes.BFLOAT16:
        raise ValueError(
            "MXNet writes float32, float64 and float16 to ONNX, received dtype='bfloat16': export "
            "the network as float32, and convert the file"
        )
    return dtype


def _values(net, graph):
    """The parameters that the graph has, by name."""
    names = set(graph.list_inputs())
    parameters = [p for p in net.collect_params().values() if p.name in names]
    try:
        return {p.name: p._reduce() for p in parameters}  # of all contexts, on the CPU
    except RuntimeError as error:
        raise ValueError(
            f"expected a network whose parameters have values, received a {type(net).__name__} "
            "without: call net.initialize() or net.load_parameters(...), and net(x) once where "
            "input channels are deferred"
        ) from error


def _check_input(graph, values, shape, dtype):
    """Have MXNet infer every shape and dtype, from those of the input and the parameters."""
    shapes = {name: value.shape for name, value in values.items()}
    types = {name: value.dtype for name, value in values.items()}
    try:
        graph.infer_shape(**shapes, data=_one_of(shape))
        graph.infer_type(**types, data=dtype)
    except mx.MXNetError as error:
        raise ValueError(
            f"the network doesn't take an input of input_shape={shape} and dtype={dtype.name!r}: "
            f"{error}"
        ) from error


def _one_of(shape):
    """The shape of one batch, of a size that MXNet can work with where any will do."""
    return (shape[0] or 1,) + shape[1:]


def _translate(onnx, graph, values, shape, dtype):
    """The network as a model of ONNX, checked."""
    any_batch = shape[0] is None
    with tempfile.TemporaryDirectory() as directory, _pinned(onnx):
        path = str(Path(directory) / "model.onnx")
        try:
            mx.onnx.export_model(
                graph,
                values,
                [_one_of(shape)],
                dtype.type,
                path,
                dynamic=any_batch,
                dynamic_input_shapes=[("batch",) + shape[1:]] if any_batch else None,
            )
        except Exception as error:  # each translation has its own way to say that it can't
            raise ValueError(f"MXNet can't translate the network to ONNX: {error}") from error
        model = onnx.load(path)
    model.ir_version = IR_VERSION
    # MXNet lists parameters as inputs too, so that a runtime could not fold them into operators.
    inputs = [value for value in model.graph.input if value.name not in values]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    onnx.checker.check_model(model, full_check=True)
    return model


@contextmanager
def _pinned(onnx):
    """Have onnx, and its checker, answer `OPSET` when MXNet asks which operator set is current."""
    context = onnx.checker.DEFAULT_CONTEXT
    newest, imports = onnx.defs.onnx_opset_version, context.opset_imports
    try:
        onnx.defs.onnx_opset_version = lambda: OPSET
        context.opset_imports = {"": OPSET}
        yield
    finally:
        onnx.defs.onnx_opset_version, context.opset_imports = newest, imports

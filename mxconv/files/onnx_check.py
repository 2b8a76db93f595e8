"""Comparison of an ONNX model with the MXNet graph that it was translated from."""

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import mxnet as mx
import numpy as np

from .onnx_model import Case, Value

NOT_WRITTEN = "nothing was written (check=False would write the file unchecked)"

# An output's name, shape and dtype; onnx may not know the shape, or some of the sizes.
Found = Tuple[str, Optional[Sequence[Optional[int]]], np.dtype]


def compare(
    onnx: Any, model: Any, graph: Any, values: Dict[str, Any], cases: Sequence[Case]
) -> None:
    """Reject a model whose outputs differ from the graph's.

    The arguments are those of `onnx_model.translate`, and the model that it returned. Parameters
    and the states of random number generators stay as they are.

    Raises
    ------
    ValueError
        If the outputs differ in number, name, shape or dtype or, where both can be run, in their
        values.
    """
    session = _open_session(model)
    for inputs, outputs in cases:
        data = _random_data(inputs)
        try:
            expected = None if session is None else _run_graph(graph, values, data)
            if expected is None:
                _compare_types(outputs, _infer_types(onnx, model))
                continue
            found = _run_session(session, data)
            _compare_types(outputs, [(name, y.shape, y.dtype) for name, y in found])
            eps = _coarsest_eps([*inputs, *outputs, *values.values()])
            for (name, y), right in zip(found, expected):
                _compare_values(name, y, right, eps)
        except ValueError as error:
            given = ", ".join(f"{name} of shape {x.shape}" for name, x in data.items())
            raise ValueError(
                f"the file would not compute what the network does: given {given}, "
                f"{str(error).strip()}; {NOT_WRITTEN}"
            ) from error


def _open_session(model: Any) -> Any:
    """The model in onnxruntime, or None if that isn't installed or lacks an operator."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # don't print errors, which are raised anyway
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its class has no public name
        if type(error).__name__ == "NotImplemented":  # float64 convolutions, for example
            return None
        raise ValueError(f"onnxruntime rejects the file: {error}; {NOT_WRITTEN}") from error


def _random_data(inputs: Iterable[Value]) -> Dict[str, np.ndarray]:
    """Random numbers from -1 to 1; a network that converts them to indices sees only 0."""
    generator = np.random.default_rng(0)
    return {x.name: generator.uniform(-1, 1, x.shape).astype(x.dtype) for x in inputs}


def _run_session(session: Any, data: Dict[str, np.ndarray]) -> List[Tuple[str, np.ndarray]]:
    """The names and values of the model's outputs, in its order."""
    names = [output.name for output in session.get_outputs()]
    try:
        return list(zip(names, session.run(None, data)))
    except Exception as error:
        raise ValueError(f"onnxruntime fails: {error}") from error


def _run_graph(
    graph: Any, values: Dict[str, Any], data: Dict[str, np.ndarray]
) -> Optional[List[np.ndarray]]:
    """The values of the graph's outputs, or None if MXNet can't run it.

    On a CPU, MXNet has no float16 convolution. So inputs and parameters in float16 are converted to
    float32, but the graph may convert to float16 itself.
    """
    arrays = {name: mx.nd.array(x, mx.cpu(), x.dtype) for name, x in data.items()}
    arrays.update(values)
    half = [name for name, x in arrays.items() if x.dtype == np.float16]
    arrays.update((name, arrays[name].astype("float32")) for name in half)
    try:
        with mx.autograd.pause():  # in inference mode
            outputs = mx.nd.CachedOp(graph)(*(arrays[name] for name in graph.list_inputs()))
            return [y.asnumpy() for y in (outputs if len(graph) > 1 else [outputs])]
    except mx.MXNetError as error:
        if half:
            return None
        raise ValueError(f"MXNet fails: {error}") from error


def _infer_types(onnx: Any, model: Any) -> List[Found]:
    """The name, shape and dtype of each output as onnx infers them."""
    bare = type(model)()
    bare.CopyFrom(model)
    for output in bare.graph.output:
        output.ClearField("type")
    try:
        bare = onnx.shape_inference.infer_shapes(bare, strict_mode=True)
    except Exception as error:
        raise ValueError(f"onnx can't infer shapes: {error}") from error
    types = {output.name: output.type.tensor_type for output in bare.graph.output}
    to_dtype = onnx.helper.tensor_dtype_to_np_dtype
    return [(name, _known_sizes(kind), to_dtype(kind.elem_type)) for name, kind in types.items()]


def _known_sizes(kind: Any) -> Optional[List[Optional[int]]]:
    """The sizes in a tensor type of ONNX, None for each that is unknown or for all."""
    if not kind.HasField("shape"):
        return None
    return [size.dim_value or None for size in kind.shape.dim]


def _compare_types(outputs: Sequence[Value], found: Sequence[Found]) -> None:
    """Reject outputs that differ in number, order, dtype or, as far as it is known, shape."""
    names, right = [name for name, _, _ in found], [output.name for output in outputs]
    if names != right:
        raise ValueError(f"the outputs are wrong: expected {right}, received {names}")
    for output, (name, shape, dtype) in zip(outputs, found):
        sizes = output.shape if shape is None else tuple(shape)
        fits = len(sizes) == len(output.shape) and all(
            size in (None, right) for size, right in zip(sizes, output.shape)
        )
        if not fits:
            raise ValueError(
                f"{name} has the wrong shape: expected {output.shape}, received {sizes}"
            )
        if dtype != output.dtype:
            raise ValueError(
                f"{name} has the wrong dtype: expected {output.dtype}, received {dtype}"
            )


def _coarsest_eps(values: Iterable[Any]) -> float:
    """The distance from 1 to the next number, in the coarsest of the dtypes."""
    return max(float(np.finfo(x.dtype).eps) for x in values if np.issubdtype(x.dtype, np.floating))


def _compare_values(name: str, found: np.ndarray, right: np.ndarray, eps: float) -> None:
    """Reject values that differ by more than rounding explains in a network of many layers.

    The bound is relative to the largest value, and to 1: inputs are that large, and may have
    canceled out.
    """
    bound = 0.0
    if np.issubdtype(found.dtype, np.floating):
        largest = np.abs(right[np.isfinite(right)]).max(initial=0)
        bound = np.sqrt(eps) * largest + 64 * eps
    found, right = found.astype("float64"), right.astype("float64")
    with np.errstate(invalid="ignore"):
        difference = np.abs(found - right)
    difference[(found == right) | (np.isnan(found) & np.isnan(right))] = 0  # infinities too
    wrong = ~(difference <= bound)
    if wrong.any():
        raise ValueError(
            f"{name} is wrong in {wrong.sum()} of {wrong.size} values: expected differences of at "
            f"most {bound:.2g}, from rounding, received up to {difference.max():.2g}"
        )

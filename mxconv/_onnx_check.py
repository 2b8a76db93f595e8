"""Whether a model of ONNX computes what the graph of MXNet does that it was made of."""

import mxnet as mx
import numpy as np

UNWRITTEN = "nothing was written (check=False would write the file unchecked)"


def compare(onnx, model, graph, values, cases):
    """Refuse a model whose outputs aren't the graph's.

    The arguments are those of `_onnx_model.translate`, and the model that it returned. Parameters
    and the states of random numbers stay as they are.

    Raises
    ------
    ValueError
        Outputs of another number, name, shape or dtype or, where both can be run, of other values.
    """
    session = _session(model)
    for inputs, outputs in cases:
        data = _random(inputs)
        try:
            expected = None if session is None else _run_graph(graph, values, data)
            if expected is None:
                _compare_kinds(outputs, _inferred(onnx, model))
                continue
            found = _run_session(session, data)
            _compare_kinds(outputs, [(name, y.shape, y.dtype) for name, y in found])
            eps = _coarsest([*inputs, *outputs, *values.values()])
            for (name, y), right in zip(found, expected):
                _compare_values(name, y, right, eps)
        except ValueError as error:
            given = ", ".join(f"{name} of shape {x.shape}" for name, x in data.items())
            raise ValueError(
                f"the file would not compute what the network does: given {given}, "
                f"{str(error).strip()}; {UNWRITTEN}"
            ) from error


def _session(model):
    """The model in onnxruntime; None where there is none, or it lacks one of the operators."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised too
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # of a class without a public name
        if type(error).__name__ == "NotImplemented":  # the convolution of float64, for one
            return None
        raise ValueError(f"onnxruntime refuses the file: {error}; {UNWRITTEN}") from error


def _random(inputs):
    """Numbers of both signs, which are all 0 where a network takes them for indices."""
    generator = np.random.default_rng(0)
    return {x.name: generator.uniform(-1, 1, x.shape).astype(x.dtype) for x in inputs}


def _run_session(session, data):
    """The names and values of the model's outputs, in its order."""
    names = [output.name for output in session.get_outputs()]
    try:
        return list(zip(names, session.run(None, data)))
    except Exception as error:
        raise ValueError(f"onnxruntime fails: {error}") from error


def _run_graph(graph, values, data):
    """The values of the graph's outputs, or None if MXNet has no such convolution on a CPU.

    It has none of float16; inputs and parameters of that dtype are taken as float32.
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
        if half:  # and conversions to it in the graph
            return None
        raise ValueError(f"MXNet fails: {error}") from error


def _inferred(onnx, model):
    """The name, shape and dtype of each output as onnx infers them; unknown sizes are None."""
    bare = type(model)()
    bare.CopyFrom(model)
    for output in bare.graph.output:
        output.ClearField("type")
    try:
        bare = onnx.shape_inference.infer_shapes(bare, strict_mode=True)
    except Exception as error:
        raise ValueError(f"onnx can't infer shapes: {error}") from error
    kinds = {output.name: output.type.tensor_type for output in bare.graph.output}
    return [
        (
            name,
            [size.dim_value or None for size in kind.shape.dim] if kind.HasField("shape") else None,
            onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type),
        )
        for name, kind in kinds.items()
    ]


def _compare_kinds(outputs, found):
    """Refuse outputs of another number or order, and of other shapes, where known, and dtypes."""
    names, right = [name for name, _, _ in found], [output.name for output in outputs]
    if names != right:
        raise ValueError(f"the outputs are {names} and should be {right}")
    for output, (name, shape, dtype) in zip(outputs, found):
        sizes = output.shape if shape is None else shape
        fits = len(sizes) == len(output.shape) and all(
            size in (None, right) for size, right in zip(sizes, output.shape)
        )
        if not fits:
            raise ValueError(f"{name} has the shape {tuple(sizes)} and should have {output.shape}")
        if dtype != output.dtype:
            raise ValueError(f"{name} is of {dtype} and should be of {output.dtype}")


def _coarsest(values):
    """The distance from 1 to the next number in the coarsest of the dtypes."""
    return max(np.finfo(x.dtype).eps for x in values if np.issubdtype(x.dtype, np.floating))


def _compare_values(name, found, right, eps):
    """Refuse values that differ by more than rounding makes them in a network of many layers.

    That is a share of the largest, and of 1, which inputs reach and which may have cancelled out.
    """
    bound = 0
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
            f"{name} is wrong in {wrong.sum()} of {wrong.size} values, by up to "
            f"{difference.max():.2g} where rounding would account for {bound:.2g}"
        )

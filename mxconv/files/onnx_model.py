"""Translation of an MXNet graph to an ONNX model.

MXNet translates the operators; the functions here fix the names, inputs and outputs around them.
"""

import json
import tempfile
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Collection, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import mxnet as mx
import numpy as np

# The newest operator set that MXNet 1.9.1 translates to, and the file format that came with it.
# Left alone, MXNet would label its operators with the newest set that the installed onnx knows.
OPSET, IR_VERSION = 13, 7

BATCHES = (1, 3)  # the batch sizes that stand for any size


class Value(NamedTuple):
    """An input or an output of a model."""

    name: str
    shape: Tuple
    dtype: np.dtype


Case = Tuple[List[Value], List[Value]]  # inputs and outputs


def translate(onnx: Any, graph: Any, values: Dict[str, Any], cases: Sequence[Case]) -> Any:
    """Translate a graph to a model with the inputs and outputs of `cases`, in their order.

    Parameters
    ----------
    onnx : module
    graph : Symbol
    values : dict of NDArray
        The parameters, by name.
    cases : list of (list of Value, list of Value)
        The inputs and outputs; one pair of lists or, for any batch size, one for each of `BATCHES`.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ValueError
        If MXNet can't translate the graph, or onnx finds the result malformed.
    """
    inputs, outputs = cases[0]
    names = [value.name for value in outputs]
    try:
        model = _export(onnx, _with_unique_names(graph, names), values, inputs)
        missing = set(names).difference(value.name for value in model.graph.output)
        if missing:
            raise ValueError(f"the translation lacks {', '.join(sorted(missing))}")
        _drop_copies(model.graph, names)
        _drop_unused(model.graph)
        # MXNet lists parameters and constants as inputs too, which would keep a runtime from
        # folding them into operators. It omits unused inputs, and orders outputs by operator.
        _declare(onnx, model.graph.input, [inputs for inputs, _ in cases])
        _declare(onnx, model.graph.output, [outputs for _, outputs in cases])
        onnx.checker.check_model(model)
    except Exception as error:  # each translation fails in its own way
        raise ValueError(f"MXNet can't translate the network to ONNX: {error!r}") from error
    return model


def _with_unique_names(graph: Any, names: Sequence[str]) -> Any:
    """The graph with a named copy of each output, and without ambiguous names.

    MXNet identifies values by the names of their operators, or those and a number. A layer that is
    used twice gives two operators the same name, and the outputs of `split1` are named like those
    of `split11`.
    """
    saved = json.loads(graph.tojson())
    nodes = saved["nodes"]
    taken = [*names, *(node["name"] for node in nodes)]
    variables: Dict[str, int] = {}
    for i, node in enumerate(nodes):
        name, operator = node["name"], node["op"]
        if operator == "null":
            variables.setdefault(name, i)
        elif operator in ("_rminus_scalar", "_rdiv_scalar"):  # MXNet tells them by their names
            node["name"] = f"_{operator.replace('_', '')}_{i}_"
        elif sum(other.startswith(name) for other in taken) > 1:
            node["name"] = f"{name}_{i}_"
    copies = zip(names, saved["heads"])
    nodes += [{"op": "_copy", "name": name, "inputs": [list(head)]} for name, head in copies]
    for node in nodes:  # a SymbolBlock that is used twice has two variables for a parameter
        for entry in node["inputs"]:
            entry[0] = variables.get(nodes[entry[0]]["name"], entry[0])
    saved["heads"] = [[i, 0, 0] for i in range(len(nodes) - len(names), len(nodes))]
    return mx.sym.load_json(json.dumps(saved))


def _export(onnx: Any, graph: Any, values: Dict[str, Any], inputs: Sequence[Value]) -> Any:
    """Have MXNet translate the graph, whose names have to be unique."""
    by_name = {value.name: value for value in inputs}
    used = [by_name[name] for name in graph.list_inputs() if name in by_name]
    shapes, types = [value.shape for value in used], [value.dtype.type for value in used]
    with tempfile.TemporaryDirectory() as directory, _pinned_opset(onnx):
        path = str(Path(directory) / "model.onnx")
        with redirect_stdout(None):  # some translations print
            mx.onnx.export_model(graph, values, shapes, types, path)
        model = onnx.load(path)
    model.ir_version = IR_VERSION
    return model


@contextmanager
def _pinned_opset(onnx: Any) -> Iterator[None]:
    """Make onnx and its checker report `OPSET` as the newest operator set.

    MXNet asks onnx for that and takes no argument instead, so the module itself is patched. Another
    thread that uses onnx meanwhile sees the patch, too.
    """
    context = onnx.checker.DEFAULT_CONTEXT
    newest, imports = onnx.defs.onnx_opset_version, context.opset_imports
    try:
        onnx.defs.onnx_opset_version = lambda: OPSET
        context.opset_imports = {"": OPSET}
        yield
    finally:
        onnx.defs.onnx_opset_version, context.opset_imports = newest, imports


def _drop_copies(graph: Any, names: Collection[str]) -> None:
    """Let operators make the outputs directly, where only a copy stands in between."""
    made = {name for node in graph.node for name in node.output}
    renamed: Dict[str, str] = {}
    for node in [node for node in graph.node if node.op_type == "Identity"]:
        (source,), (name,) = node.input, node.output
        if name in names and source in made.difference(renamed):
            renamed[source] = name
            graph.node.remove(node)
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [renamed.get(name, name) for name in values]


def _drop_unused(graph: Any) -> None:
    """Drop constants that no operator reads, because runtimes warn about them."""
    read = {name for node in graph.node for name in node.input}
    for i in reversed(range(len(graph.initializer))):
        if graph.initializer[i].name not in read:
            del graph.initializer[i]


def _declare(onnx: Any, declared: Any, cases: Sequence[Sequence[Value]]) -> None:
    """List the inputs or the outputs; a size that varies with the batch is 'batch' or unknown."""
    del declared[:]
    for value in zip(*cases):
        shape = [
            size[0] if len(set(size)) == 1 else "batch" if size == BATCHES else None
            for size in zip(*(case.shape for case in value))
        ]
        dtype = onnx.helper.np_dtype_to_tensor_dtype(value[0].dtype)
        declared.append(onnx.helper.make_tensor_value_info(value[0].name, dtype, shape))

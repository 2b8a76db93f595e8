"""A graph of MXNet as a model of ONNX: MXNet translates the operators, and this sees to the rest.

An input or an output is a tuple with `name`, `shape` and `dtype`.
"""

import json
import tempfile
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import mxnet as mx

# The newest operator set that MXNet 1.9.1 translates to, and the file format that came with it.
# Left alone, MXNet would label its operators with the newest set that the installed onnx knows.
OPSET, IR_VERSION = 13, 7

BATCHES = (1, 3)  # stand for a batch of any size


def translate(onnx, graph, values, cases):
    """The model with the inputs and outputs of `cases`, by their names and in their order.

    `graph` is a Symbol and `values` are its parameters by name. Each of `cases` is a pair, the
    inputs and the outputs: one of them, or one for each of `BATCHES`.

    Raises
    ------
    ValueError
        MXNet can't translate the graph, or not into what onnx finds well-formed.
    """
    inputs, outputs = cases[0]
    names = [value.name for value in outputs]
    try:
        model = _exported(onnx, _unambiguous(graph, names), values, inputs)
        missing = set(names).difference(value.name for value in model.graph.output)
        if missing:
            raise ValueError(f"the translation lacks {', '.join(sorted(missing))}")
        _drop_copies(model.graph, names)
        _drop_unused(model.graph)
        # MXNet lists parameters and constants as inputs too, so that a runtime could not fold them
        # into operators. It leaves out unused inputs, and gives outputs in the order of operators.
        _declare(onnx, model.graph.input, [inputs for inputs, _ in cases])
        _declare(onnx, model.graph.output, [outputs for _, outputs in cases])
        onnx.checker.check_model(model)
    except Exception as error:  # each translation has its own way to say that it can't
        raise ValueError(f"MXNet can't translate the network to ONNX: {error!r}") from error
    return model


def _unambiguous(graph, names):
    """The graph with a copy of each output, by its name, and no name that could stand for two.

    MXNet tells values apart by the names of their operators, or those and a number. A layer that is
    used twice is two operators of one name, and `split1` has outputs called as those of `split11`.
    """
    saved = json.loads(graph.tojson())
    nodes = saved["nodes"]
    taken = names + [node["name"] for node in nodes]
    variables = {}
    for i, node in enumerate(nodes):
        name, operator = node["name"], node["op"]
        if operator == "null":
            variables.setdefault(name, i)
        elif operator in ("_rminus_scalar", "_rdiv_scalar"):  # which MXNet knows by their names
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


def _exported(onnx, graph, values, inputs):
    """MXNet's translation, in which names and values are right."""
    inputs = {value.name: value for value in inputs}
    used = [inputs[name] for name in graph.list_inputs() if name in inputs]
    shapes, types = [value.shape for value in used], [value.dtype.type for value in used]
    with tempfile.TemporaryDirectory() as directory, _pinned(onnx):
        path = str(Path(directory) / "model.onnx")
        with redirect_stdout(None):  # some translations print
            mx.onnx.export_model(graph, values, shapes, types, path)
        model = onnx.load(path)
    model.ir_version = IR_VERSION
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


def _drop_copies(graph, names):
    """Have operators make the outputs themselves, where there is nothing but a copy between."""
    made = {name for node in graph.node for name in node.output}
    renamed = {}
    for node in [node for node in graph.node if node.op_type == "Identity"]:
        (source,), (name,) = node.input, node.output
        if name in names and source in made.difference(renamed):
            renamed[source] = name
            graph.node.remove(node)
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [renamed.get(name, name) for name in values]


def _drop_unused(graph):
    """Forget constants that no operator takes, of which runtimes would warn."""
    taken = {name for node in graph.node for name in node.input}
    for i in reversed(range(len(graph.initializer))):
        if graph.initializer[i].name not in taken:
            del graph.initializer[i]


def _declare(onnx, declared, cases):
    """List the inputs or outputs; sizes that depend on the batch are 'batch' or unknown."""
    del declared[:]
    for value in zip(*cases):
        shape = [
            size[0] if len(set(size)) == 1 else "batch" if size == BATCHES else None
            for size in zip(*(case.shape for case in value))
        ]
        dtype = onnx.helper.np_dtype_to_tensor_dtype(value[0].dtype)
        declared.append(onnx.helper.make_tensor_value_info(value[0].name, dtype, shape))

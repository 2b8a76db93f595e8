"""A network as a graph of operators that can be replaced, with the values of its parameters."""

import json
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from mxnet import nd, sym

Shape = Tuple[int, ...]
VARIABLE = "null"  # what MXNet's files call the operator of a variable


class Node:
    """An operator, or a variable: an input of the network or a parameter.

    Attributes
    ----------
    operator, name : str
        Which operator it is, `VARIABLE` if it is none, and its name in the graph.
    inputs : list of Entry
        What it reads.
    attributes : dict of str
        Its attributes, as text.
    subgraphs : list
        What MXNet's files hold of the graphs within it, of loops for example.
    """

    def __init__(
        self,
        operator: str,
        name: str,
        inputs: Iterable["Entry"] = (),
        attributes: Optional[Mapping[str, Any]] = None,
        subgraphs: Sequence[Any] = (),
    ) -> None:
        self.operator, self.name, self.inputs = operator, name, list(inputs)
        self.attributes = {key: str(value) for key, value in (attributes or {}).items()}
        self.subgraphs = subgraphs

    def __repr__(self) -> str:
        return f"<{self.operator} {self.name}>"


class Entry(NamedTuple):
    """One output of a node."""

    node: Node
    output: int = 0


class Graph:
    """A graph of operators and the arrays of its parameters.

    Parameters
    ----------
    symbol : Symbol
    values : dict of str to NDArray
        The arrays of the parameters, by name.
    dtypes : None or dict of dtype
        The dtypes of the inputs by name, from which MXNet infers those behind them.

    Attributes
    ----------
    heads : list of Entry
        The network's outputs, flat.
    values : dict of str to NDArray
        The arrays of the parameters, by name. A variable without one is an input of the network.
    states : set of str
        The variables that MXNet keeps as auxiliary states, such as a moving mean.
    """

    def __init__(
        self,
        symbol: sym.Symbol,
        values: Mapping[str, nd.NDArray],
        dtypes: Optional[Mapping[str, Any]] = None,
    ) -> None:
        loaded = json.loads(symbol.tojson(remove_amp_cast=False))
        nodes: List[Node] = []
        for item in loaded["nodes"]:
            inputs = [Entry(nodes[i], output) for i, output, *_ in item["inputs"]]
            attributes, subgraphs = item.get("attrs"), item.get("subgraphs", ())
            nodes.append(Node(item["op"], item["name"], inputs, attributes, subgraphs))
        self.heads = [Entry(nodes[i], output) for i, output, *_ in loaded["heads"]]
        self.values = dict(values)
        self.states = set(symbol.list_auxiliary_states())
        self._attributes = loaded["attrs"]
        for node in self.operators(VARIABLE):
            if node.name in self.values:
                value = self.values[node.name]
                node.attributes = _variable_attributes(node.name, value.dtype, value.shape)
            elif dtypes and node.name in dtypes:
                node.attributes = _variable_attributes(node.name, dtypes[node.name])

    def copy(self) -> "Graph":
        """Return a graph of nodes of its own, with the same arrays."""
        return Graph(self.symbol(), self.values)

    # Reading

    def nodes(self) -> List[Node]:
        """Return the nodes that the heads depend on, each after those that it reads."""
        found: Dict[Node, None] = {}
        started = set()
        stack = [head.node for head in reversed(self.heads)]
        while stack:
            node = stack[-1]
            if node in found or node in started:
                found.setdefault(stack.pop())
            else:
                started.add(node)
                stack += [e.node for e in reversed(node.inputs) if e.node not in started]
        return list(found)

    def operators(self, *names: str) -> List[Node]:
        """Return the nodes with one of these operators, in order."""
        return [node for node in self.nodes() if node.operator in names]

    def readers(self) -> Dict[Node, List[Optional[Node]]]:
        """Return the readers of each node, None standing for the network's output."""
        readers: Dict[Node, List[Optional[Node]]] = {node: [] for node in self.nodes()}
        for node in list(readers):
            for entry in node.inputs:
                readers[entry.node].append(node)
        for head in self.heads:
            readers[head.node].append(None)
        return readers

    def value(self, entry: Entry) -> Optional[nd.NDArray]:
        """Return the array of an entry that is a parameter, or None."""
        node = entry.node
        return self.values.get(node.name) if node.operator == VARIABLE else None

    def shapes(self, input_shapes: Mapping[str, Shape]) -> Dict[Entry, Shape]:
        """Return the shape of each entry that is read, for shapes of the inputs by their names.

        It is () if MXNet can't infer it, as behind a branch.
        """
        entries = self._entries()
        symbol = self.symbol(entries)
        names = set(symbol.list_inputs())
        known = {name: shape for name, shape in input_shapes.items() if name in names}
        _, shapes, _ = symbol.infer_shape_partial(**known)
        return {e: shape if min(shape or [0]) > 0 else () for e, shape in zip(entries, shapes)}

    def dtypes(self) -> Dict[Entry, Any]:
        """Return the dtype of each entry that is read; None where MXNet can't infer it."""
        entries = self._entries()
        _, dtypes, _ = self.symbol(entries).infer_type_partial()
        return dict(zip(entries, dtypes))

    def _entries(self) -> List[Entry]:
        """Return the entries that an operator or the network's caller reads."""
        entries = [entry for node in self.nodes() for entry in node.inputs]
        return list(dict.fromkeys([*entries, *self.heads]))

    def symbol(self, heads: Optional[Sequence[Entry]] = None) -> sym.Symbol:
        """Return the graph as a Symbol, or the part of it that other heads depend on."""
        wanted = Graph.__new__(Graph)
        wanted.heads = list(self.heads if heads is None else heads)
        nodes = wanted.nodes()
        place = {node: i for i, node in enumerate(nodes)}
        text = {
            "nodes": [_written(node, place) for node in nodes],
            "arg_nodes": [i for i, node in enumerate(nodes) if node.operator == VARIABLE],
            "heads": [[place[node], output, 0] for node, output in wanted.heads],
            "attrs": self._attributes,
        }
        return sym.load_json(json.dumps(text))

    def parameters(self) -> Dict[str, nd.NDArray]:
        """Return the arrays that the graph reads, by name."""
        names = [node.name for node in self.operators(VARIABLE)]
        return {name: self.values[name] for name in names if name in self.values}

    # Changing

    def replace(self, old: Entry, new: Entry) -> None:
        """Let all readers of an entry read another one instead."""
        for node in self.nodes():
            node.inputs = [new if entry == old else entry for entry in node.inputs]
        self.heads = [new if head == old else head for head in self.heads]

    def constant(self, name: str, value: nd.NDArray) -> Entry:
        """Return a new parameter, whose name begins with `name`."""
        unique = next(text for text in _numbered(name) if text not in self.values)
        self.values[unique] = value
        attributes = _variable_attributes(unique, value.dtype, value.shape)
        return Entry(Node(VARIABLE, unique, (), attributes))

    def insert(self, symbol: sym.Symbol, inputs: Mapping[str, Entry], prefix: str) -> Entry:
        """Return the output of another graph, some of whose variables are entries of this one."""
        part = Graph(symbol, {})
        for node in part.nodes():
            if node.operator == VARIABLE:
                continue
            node.inputs = [
                inputs.get(e.node.name, e) if _is_variable(e) else e for e in node.inputs
            ]
            node.name = prefix + node.name
        (head,) = part.heads
        return head

    def prune_values(self) -> None:
        """Forget the arrays that no operator reads."""
        self.values = self.parameters()


def _is_variable(entry: Entry) -> bool:
    return entry.node.operator == VARIABLE


def _written(node: Node, place: Mapping[Node, int]) -> Dict[str, Any]:
    """Return a node as in MXNet's files."""
    written: Dict[str, Any] = {
        "op": node.operator,
        "name": node.name,
        "inputs": [[place[source], output, 0] for source, output in node.inputs],
    }
    if node.attributes:
        written["attrs"] = node.attributes
    if node.subgraphs:
        written["subgraphs"] = node.subgraphs
    return written


def _variable_attributes(name: str, dtype: Any, shape: Optional[Shape] = None) -> Dict[str, str]:
    attributes: Dict[str, str] = sym.var(name, shape=shape, dtype=dtype).list_attr()
    return attributes


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        number += 1
        yield f"{name}{number}"

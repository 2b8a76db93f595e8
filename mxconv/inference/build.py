"""`for_inference`: a network made as fast as MXNet can run it, checked against the original."""

import os
from dataclasses import replace
from itertools import chain, combinations
from typing import Any, Dict, Optional, Tuple

from mxnet import autograd
from mxnet.gluon import Block, HybridBlock

from .. import _checks, _paths
from ..selection.record import machine
from . import kept, search
from .convolutions import describe
from .fusion import fuse
from .graph import Graph
from .network import InferenceNetwork
from .original import Original
from .plans import Plan
from .report import Report, Step
from .search import Found, Workshop

# What a plan is without a step, from the last to the first.
WITHOUT: Dict[str, Dict[str, Any]] = {
    "fusion": {"fused": False, "apart": frozenset()},
    "algorithms": {"algorithms": {}},
    "wider channels": {"widened": False},
    "folding": {"folded": False, "widened": False, "algorithms": {}, "apart": frozenset()},
}


def for_inference(
    net: HybridBlock,
    *inputs: Any,
    measure: bool = True,
    tolerance: Optional[float] = None,
    choices: Any = None,
    path: Any = None,
    seconds: float = 1.0,
    progress: bool = True,
) -> InferenceNetwork:
    """Make a network for inference only, as fast as MXNet can run it on this machine.

    The network may be any that can be hybridized, of any layers: `nn.Conv2D`, `MultiChannelConv2D`,
    a `SymbolBlock` from exported files. It isn't changed, and the new network has parameters of its
    own: later training of the original doesn't reach it.

    1. Operators that do nothing in inference are dropped, and what depends on parameters only is
       computed. BatchNorm, and other constant scales and shifts, are folded into the convolution or
       dense layer before them, in float64. Two convolutions in a row become one where that takes
       fewer multiplications. Activations are written as the operators that MXNet computes fastest.
    2. Numbers of channels are rounded up throughout the network, by channels of zeros.
    3. Each convolution gets the fastest algorithm, its weight rearranged once.
    4. MXNet's own backend (`optimize_for`) fuses operators, except where that slows them.

    Each step is checked against the original, and measured on the whole network; one that fails, or
    brings nothing, is left out.

    Parameters
    ----------
    net : HybridBlock
        The network. Its parameters must have values: if input channels are deferred, call it once.
    *inputs : NDArray
        Example inputs, as a call of the network takes them; for an argument that is a list of
        arrays, a list. Their sizes decide what is fastest; the new network takes others too.
    measure : bool
        Whether to measure on this machine, which takes seconds to minutes, or to follow the rules
        for this kind of CPU.
    tolerance : None or float
        How far an output may differ from the original's, relative to its largest element. The
        default is about 4 u times the sum of sqrt(n) over all convolutions and dense layers, where
        n counts the products in a sum, and u is the unit roundoff. Some networks amplify rounding
        errors. So if a step is further off, it is measured how much the outputs change if inputs
        and parameters change by 2 u. The default then becomes 5 times that change, or 0.01 at most,
        if this is more.
    choices : None, str or Path
        A file that an earlier call has written to `path`. It is followed, and nothing is measured.
    path : None, str or Path
        A file ending in .json to save the choices to.
    seconds : float
        How long to compare two networks; the algorithms of a convolution are compared for a third
        of that. At least 7 rounds are measured, or 3 if they take longer than 10 times that.
    progress : bool
        Whether to show the progress on standard error.

    Returns
    -------
    InferenceNetwork
        Called as net is. Its `report` says what was done and what it brought.

    Raises
    ------
    TypeError
        If net isn't a HybridBlock or can't be traced, if an input isn't an array, or if another
        argument has the wrong type.
    ValueError
        If a parameter has no values or isn't on the inputs' context, if the inputs are empty, if
        the file of choices is for something else, or if a path can't be written; if MXNet rejects
        the inputs, or nothing in an output is finite. What else the network raises is passed on.
    ArithmeticError
        If the network doesn't compute the same twice, so that nothing can be checked; it names the
        output.

    See Also
    --------
    choose_algorithms : The algorithms of a network that trains.

    Notes
    -----
    The original is run eagerly, on these inputs and on another batch size if it takes one.

    Examples
    --------
    >>> net = nn.HybridSequential()
    >>> net.add(nn.Conv2D(8, 3, in_channels=1), nn.BatchNorm(in_channels=8), nn.Activation("relu"))
    >>> net.initialize()
    >>> x = nd.ones((1, 1, 28, 28))
    >>> fast = for_inference(net, x, measure=False)
    >>> bool((fast(x) - net(x)).abs().max() < 1e-6)
    True
    """
    if not isinstance(net, HybridBlock):
        hint = ", such as HybridSequential instead of Sequential" * isinstance(net, Block)
        raise TypeError(
            f"net has the wrong type: expected an mxnet.gluon.HybridBlock{hint}, received a "
            f"{type(net).__module__}.{type(net).__name__}"
        )
    measure, progress = _checks.boolean("measure", measure), _checks.boolean("progress", progress)
    hint = "an example array is needed, such as nd.zeros(shape), not its shape"
    _checks.arrays("inputs", inputs, (tuple,), hint)
    _checks.positive("seconds", seconds)
    if tolerance is not None:
        _checks.positive("tolerance", tolerance)
    path = None if path is None else _paths.writable(path, (".json",))
    if choices is not None:
        _checks.instance("choices", choices, (str, os.PathLike), "a str or Path")
    with autograd.pause():
        original = Original(net, inputs, tolerance)
        shop = Workshop(original)
        if choices is not None:
            found = search.from_file(shop, choices)
        elif measure:
            found = search.by_measuring(shop, seconds, progress)
        else:
            found = search.by_rule(shop)
        network, plan = _first_right(original, shop, found)
        if path is not None:
            kept.save(path, plan, shop.tasks(plan)[1].values(), machine())
        return network


def _first_right(original: Original, shop: Workshop, found: Found) -> Tuple[InferenceNetwork, Plan]:
    """Return the network of the plan that was found, without as many steps as fail, and its plan.

    A measured plan has passed its checks by now; by rule and from a file, this is the first.
    """
    failure = ArithmeticError()
    for dropped in chain.from_iterable(combinations(WITHOUT, n) for n in range(len(WITHOUT) + 1)):
        changes = {key: value for step in dropped for key, value in WITHOUT[step].items()}
        plan = replace(found.plan, **changes)
        if dropped and plan == found.plan:
            continue
        steps = [Step(step, f"dropped: {failure}", kept=False) for step in dropped]
        try:
            return _network(original, shop, plan, replace(found, steps=found.steps + steps)), plan
        except ArithmeticError as error:
            failure = error if not dropped else failure
    raise failure  # not even the original graph computes the same twice


def _network(original: Original, shop: Workshop, plan: Plan, found: Found) -> InferenceNetwork:
    """Return the network of a plan, checked as it is called."""
    graph = shop.graph(plan)
    symbol = fuse(graph) if plan.fused else graph.symbol()
    tasks = dict.fromkeys(shop.tasks(plan)[1].values())
    lines = [
        f"{describe(task)}: {plan.algorithms.get(task, 'native')}"
        + (", without fusing its activation" if task in plan.apart else "")
        for task in tasks
        if task in plan.algorithms or task in plan.apart
    ]
    inputs = list(zip(original.names, original.inputs))
    folded = _folded(original, shop, plan)
    network = InferenceNetwork(folded, graph, symbol, inputs, original.nesting)
    errors = original.check(network.outputs)  # which may raise the tolerance
    network.report = Report(
        tuple(found.steps),
        tuple(lines),
        errors,
        original.tolerance,
        original.amplification,
        found.gain,
        found.gain_over_fused,
        machine(),
    )
    return network


def _folded(original: Original, shop: Workshop, plan: Plan) -> Graph:
    """Return the folded graph, or the original's if the plan left folding out because it failed."""
    if not plan.folded:
        try:
            original.check(shop.run(Plan()))
        except ArithmeticError:
            return original.graph
    return shop.folded

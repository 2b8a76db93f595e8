"""Finding the fastest plan for a network: by the rules, by measuring, or as a file says."""

from dataclasses import dataclass, field, replace
from typing import Any, Collection, Dict, List, Mapping, Optional, Tuple

from .._progress import progress_of, say
from ..selection.record import machine
from . import choosing, kept
from .comparing import race
from .convolutions import Task, describe, tasks_of
from .graph import Graph, Node
from .original import Original
from .plans import Plan, folded, prepared, program
from .program import Program
from .report import Step
from .widening import widen_channels

MIN_GAIN = 1.01  # that a pass must bring, lest noise decide
MAX_SINGLE = 16  # kinds of convolutions whose algorithm is tried in the whole network by itself
STOCK = Plan(folded=False)
STOCK_FUSED = Plan(folded=False, fused=True)
OPERATORS, FUSION = "MXNet's operators", "MXNet's fusion only"  # the rows of these two
FUNCTION = "for_inference"


@dataclass
class Found:
    """The plan that was found, and how.

    Attributes
    ----------
    plan : Plan
    steps : list of Step
    gain, gain_over_fused : None or float
        As in `Report`.
    """

    plan: Plan
    steps: List[Step] = field(default_factory=list)
    gain: Optional[float] = None
    gain_over_fused: Optional[float] = None


class Workshop:
    """Builds plans for a network.

    Attributes
    ----------
    original : Original
    folded : Graph
        Its graph after `plans.folded`.
    counts : dict of int
        What that did.
    """

    def __init__(self, original: Original) -> None:
        self.original, self.folded = original, original.graph.copy()
        self.counts = folded(self.folded, original.shapes)

    def graph(self, plan: Plan) -> Graph:
        """Return the graph of a plan, before fusion."""
        source = self.folded if plan.folded else self.original.graph
        return prepared(source, plan, self.original.shapes)

    def run(self, plan: Plan) -> Program:
        """Return a program for a plan."""
        return program(self.graph(plan), plan, self.original.names)

    def tasks(self, plan: Plan) -> Tuple[Graph, Dict[Node, Task]]:
        """Return the graph in which the algorithms of a plan are chosen, and its convolutions."""
        if not plan.folded:
            return self.original.graph, {}
        graph = self.folded.copy()
        if plan.widened:
            widen_channels(graph, self.original.shapes)
        return graph, tasks_of(graph, self.original.shapes)


def by_rule(shop: Workshop) -> Found:
    """Follow the rules for this CPU."""
    plan = Plan(widened=_widened(shop) > 0, fused=True)
    chosen = choosing.by_rule(shop.tasks(plan)[1].values(), shop.original.context)
    plan = replace(plan, algorithms=chosen.algorithms, apart=chosen.apart)
    return Found(plan, [_folding(shop), Step("by the rules", _what(plan))])


def from_file(shop: Workshop, path: Any) -> Found:
    """Follow a file that an earlier search was saved to."""
    kept.warn_elsewhere(path, machine())
    plan = kept.load_flags(path)
    plan = kept.load_convolutions(path, plan, shop.tasks(plan)[1].values())
    return Found(plan, [_folding(shop), Step(f"as in {path}", _what(plan))])


def by_measuring(shop: Workshop, seconds: float, progress: bool) -> Found:
    """Try one step after the other on the whole network, and keep what makes it faster."""
    return _Search(shop, seconds, progress).found()


class _Search:
    """The best plan so far, running, so that others can be compared with it."""

    def __init__(self, shop: Workshop, seconds: float, progress: bool) -> None:
        self.shop, self.seconds, self.progress = shop, seconds, progress
        self.plan, self.run = STOCK, shop.run(STOCK)
        self.call_seconds = 0.0  # of the best plan, by the first race and the gains since then
        self.steps: List[Step] = []
        self.chosen: Dict[Any, choosing.Chosen] = {}

    def found(self) -> Found:
        shop = self.shop
        widened = _widened(shop)
        self.attempt("folding", Plan(), _counted(shop.counts), least=0.0)
        if widened and self.plan.folded:
            self.attempt(
                "wider channels", replace(self.plan, widened=True), f"operators widened: {widened}"
            )
        self.attempt_fusion()
        self.attempt_algorithms()
        if self.plan.algorithms and not self.plan.fused:  # what slowed it may be another by now
            self.attempt_fusion()
        self.leave_out_single()
        return self.judged()

    def attempt_fusion(self) -> None:
        """Fuse operators, except where that slows a convolution."""
        apart = self.choose(fused=True).apart
        plan = replace(self.plan, fused=True, apart=apart)
        name = "fusion again" if self.plan.algorithms else "fusion"
        self.attempt(name, plan, _fused(apart), least=1.0)  # a tie is won by fewer operators

    def attempt_algorithms(self) -> None:
        """Choose the algorithm of each convolution."""
        chosen = self.choose(self.plan.fused)
        if chosen.algorithms:
            plan = replace(self.plan, algorithms=chosen.algorithms)
            self.attempt("algorithms", plan, _what(Plan(algorithms=chosen.algorithms)))

    def choose(self, fused: bool) -> choosing.Chosen:
        """Measure what is fastest for each kind of convolution, once for the plan's channels."""
        key = self.plan.widened, fused
        if key not in self.chosen:
            graph, tasks = self.shop.tasks(self.plan)

            def shown(items: Any, unit: str) -> Any:
                return progress_of(items, FUNCTION, unit, self.progress)

            self.chosen[key] = choosing.by_measuring(graph, tasks, self.seconds / 3, fused, shown)
        return self.chosen[key]

    def leave_out_single(self) -> None:
        """Try each kind of convolution as MXNet's operator again, in the whole network.

        What is fastest by itself need not be among its neighbors, for the memory layouts between.
        """
        if len(self.plan.algorithms) > MAX_SINGLE:
            return
        for task in list(self.plan.algorithms):
            others = {t: name for t, name in self.plan.algorithms.items() if t != task}
            name = f"without {self.plan.algorithms[task]}"
            self.attempt(name, replace(self.plan, algorithms=others), describe(task), quiet=True)

    def judged(self) -> Found:
        """Compare the best plan with what MXNet itself offers, and return the fastest."""
        gains: Dict[str, float] = {}
        for name, plan in ((FUSION, STOCK_FUSED), (OPERATORS, STOCK)):
            self.say(name)
            other = self.shop.run(plan)
            try:
                self.shop.original.check(other)
            except ArithmeticError as error:
                self.steps.append(Step(name, f"dropped: {error}", kept=False))
                continue
            gain = race(other, self.run, self.shop.original.inputs, self.seconds).gain
            if gain * MIN_GAIN < 1:
                self.steps.append(Step(name, "faster than all of the above", None, 1 / gain))
                self.plan, self.run = plan, other
                gains = {slower: before / gain for slower, before in gains.items()}
                gain = 1.0
            gains[name] = gain
        return Found(self.plan, self.steps, gains[OPERATORS], gains.get(FUSION))

    def attempt(
        self, name: str, plan: Plan, what: str, least: float = MIN_GAIN, quiet: bool = False
    ) -> None:
        """Compare a plan with the best so far, and keep it if it is at least so much faster."""
        self.say(name)
        run = self.shop.run(plan)
        try:
            self.shop.original.check(run)
        except ArithmeticError as error:
            self.steps.append(Step(name, f"dropped: {error}", kept=False))
            return
        result = race(self.run, run, self.shop.original.inputs, self.seconds)
        is_faster = result.gain >= least
        if not self.call_seconds:
            self.call_seconds = result.before
            static = "hybridized with static_alloc, static_shape"
            self.steps.insert(0, Step(OPERATORS, static, result.before))
        after = self.call_seconds / result.gain
        if is_faster or not quiet:
            self.steps.append(Step(name, what, after, result.gain, is_faster))
        if is_faster:
            self.plan, self.run, self.call_seconds = plan, run, after

    def say(self, text: str) -> None:
        if self.progress:
            say(FUNCTION, text)


def _widened(shop: Workshop) -> int:
    return widen_channels(shop.folded.copy(), shop.original.shapes)


def _folding(shop: Workshop) -> Step:
    return Step("folding", _counted(shop.counts))


def _counted(counts: Mapping[str, int]) -> str:
    done = [f"{what}: {count}" for what, count in counts.items() if count]
    return ", ".join(done) or "nothing to do"


def _what(plan: Plan) -> str:
    """Describe a plan in a few words."""
    names = list(plan.algorithms.values())
    parts = [f"{name} for {_kinds(names.count(name))}" for name in dict.fromkeys(names)]
    if plan.widened:
        parts.append("wider channels")
    if plan.fused:
        parts.append(_fused(plan.apart))
    return ", ".join(parts) or OPERATORS


def _fused(apart: Collection[Task]) -> str:
    return "operators fused" + (f", but not {_kinds(len(apart))}" if apart else "")


def _kinds(count: int) -> str:
    return f"{count} kind{'s' * (count != 1)} of convolutions"

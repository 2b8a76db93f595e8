"""Every pass and every plan of `for_inference` computes what a random network computed before."""

from dataclasses import dataclass
from typing import Tuple

from helpers import SLOW
from mxconv.algorithms import ALGORITHMS, unsupported
from mxconv.inference import choosing
from mxconv.inference.cleanup import drop_no_ops, fold_constants
from mxconv.inference.fusion import hoist_activations, keep_apart
from mxconv.inference.merging import merge_in_graph
from mxconv.inference.original import Original
from mxconv.inference.plans import Plan
from mxconv.inference.program import Program
from mxconv.inference.scaling import fold_scalings
from mxconv.inference.search import STOCK, STOCK_FUSED, Workshop
from mxconv.inference.spelling import spell_activations, spell_clips
from mxconv.inference.transposing import cancel_transposes
from mxconv.inference.widening import widen_channels

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from mxnet import gluon, nd
from mxnet.gluon import nn

pytestmark = pytest.mark.kernels

FAST, MORE = 25, 40  # examples
IMAGE = 2, 3, 8, 8
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


# Random networks: each step is a name and numbers, and leaves height and width even or divides them

STEPS = st.one_of(
    st.tuples(
        st.just("conv"),
        st.sampled_from([1, 2, 4, 6, 8, 12, 13]),  # channels
        st.sampled_from([1, 3]),  # kernel
        st.booleans(),  # bias
        st.sampled_from(["dense", "groups", "depthwise"]),
    ),
    st.tuples(st.just("norm"), st.booleans(), st.booleans()),  # scale, center
    st.tuples(
        st.just("activation"),
        st.sampled_from(["relu", "sigmoid", "tanh", "softsign", "clip", "hard swish", "leaky"]),
    ),
    st.tuples(
        st.just("arithmetic"),
        st.sampled_from(
            ["* 2", "/ 4", "+ 1", "- 3", "1 -", "negative", "* channels", "+ channels"]
        ),
    ),
    st.tuples(st.just("pool"), st.sampled_from(["max", "avg"]), st.booleans()),  # overlapping
    st.tuples(st.just("up"), st.sampled_from([4, 6, 12])),  # a transposed convolution
    st.tuples(st.just("dropout")),
    st.tuples(st.just("branch"), st.sampled_from(["concat", "add"])),  # with what was before
    st.tuples(st.just("output")),
)
LAST = st.sampled_from(["nothing", "dense", "dense, norm", "global"])


@dataclass(frozen=True)
class Recipe:
    """The steps of a network, what it ends in, its layout, and the seed of all numbers."""

    steps: Tuple[tuple, ...]
    last: str
    layout: str
    seed: int


RECIPES = st.builds(
    Recipe,
    st.lists(STEPS, min_size=1, max_size=8).map(tuple),
    LAST,
    st.sampled_from(["NCHW", "NHWC"]),
    st.integers(0, 2**32 - 1),
)


class Network(gluon.HybridBlock):
    """The network of a recipe. In NHWC, convolutions stand between transposes."""

    def __init__(self, recipe):
        super().__init__()
        self.plan, c, size, widths = [], IMAGE[1], IMAGE[2], []
        self.layout, self.axis = recipe.layout, recipe.layout.index("C")
        with self.name_scope():
            for kind, *choices in recipe.steps:
                layer, step = None, (kind, *choices)
                if kind == "conv":
                    layer, c = conv_of(c, *choices)
                elif kind == "norm":
                    scale, center = choices
                    layer = nn.BatchNorm(self.axis, in_channels=c, scale=scale, center=center)
                elif kind == "pool":
                    if size < 4:
                        continue
                    size //= 2
                elif kind == "up":
                    if size > 8:
                        continue
                    layer = nn.Conv2DTranspose(*choices, 2, strides=2, in_channels=c)
                    (c,), size = choices, 2 * size
                elif kind == "dropout":
                    layer = nn.Dropout(0.5)
                elif kind == "branch" and choices == ["concat"]:
                    earlier = [i for i, (_, s) in enumerate(widths) if s == size]
                    if not earlier:
                        continue
                    step, c = (kind, "concat", earlier[0]), c + widths[earlier[0]][0]
                elif kind == "branch":
                    earlier = [i for i, width in enumerate(widths) if width == (c, size)]
                    if not earlier:
                        continue
                    step = (kind, "add", earlier[0])
                elif kind == "arithmetic" and "channels" in choices[0]:
                    name = f"channels{len(self.plan)}"
                    shape = [c if axis == self.axis else 1 for axis in range(4)]
                    constant = self.params.get(name, shape=shape, init="ones")
                    setattr(self, name, constant)
                    step = (kind, choices[0], name)
                if layer is not None:
                    self.register_child(layer)
                self.plan.append((step, layer))
                widths.append((c, size))
            self.last = nn.HybridSequential()
            if recipe.last == "global":
                self.last.add(nn.GlobalAvgPool2D(self.layout))
            elif recipe.last != "nothing":
                self.last.add(nn.Dense(5, in_units=c * size * size))
                if recipe.last == "dense, norm":
                    self.last.add(nn.BatchNorm(in_channels=5))

    def hybrid_forward(self, F, x, **constants):
        outputs, seen = [], []
        for (kind, *choices), layer in self.plan:
            if kind in ("conv", "up") and self.layout == "NHWC":
                x = F.transpose(layer(F.transpose(x, axes=TO_NCHW)), axes=TO_NHWC)
            elif layer is not None:
                x = layer(x)
            elif kind == "activation":
                x = activation(F, x, *choices)
            elif kind == "arithmetic":
                x = arithmetic(F, x, choices[0], *(constants[name] for name in choices[1:]))
            elif kind == "pool":
                pool_type, overlapping = choices
                wider = dict(kernel=(4, 4), pad=(1, 1)) if overlapping else dict(kernel=(2, 2))
                x = F.Pooling(x, stride=(2, 2), pool_type=pool_type, layout=self.layout, **wider)
            elif kind == "branch":
                how, other = choices
                x = F.concat(seen[other], x, dim=self.axis) if how == "concat" else x + seen[other]
            else:
                outputs.append(x)
            seen.append(x)
        return [self.last(x), *outputs]


def conv_of(c_i, channels, kernel, bias, kind):
    groups = {"dense": 1, "groups": 2 if c_i % 2 == channels % 2 == 0 else 1, "depthwise": c_i}[
        kind
    ]
    channels = c_i if kind == "depthwise" else channels
    arguments = dict(padding=kernel // 2, groups=groups, use_bias=bias, in_channels=c_i)
    return nn.Conv2D(channels, kernel, **arguments), channels


def activation(F, x, name):
    if name == "clip":
        return F.clip(x, 0, 6)
    if name == "hard swish":
        return x * (F.clip(x + 3, 0, 6) / 6)
    if name == "leaky":
        return F.LeakyReLU(x, slope=0.25)
    return {"relu": F.relu, "sigmoid": F.sigmoid, "tanh": F.tanh, "softsign": F.softsign}[name](x)


def arithmetic(F, x, name, array=None):
    return {
        "* 2": lambda: x * 2,
        "/ 4": lambda: x / 4,
        "+ 1": lambda: x + 1,
        "- 3": lambda: x - 3,
        "1 -": lambda: 1 - x,
        "negative": lambda: -x,
        "* channels": lambda: F.broadcast_mul(x, array),
        "+ channels": lambda: F.broadcast_add(x, array),
    }[name]()


def original_of(recipe):
    """The network, run once: what every pass is compared with."""
    random = np.random.RandomState(recipe.seed)
    net = Network(recipe)
    net.initialize()
    for name, parameter in net.collect_params().items():
        variance = name.endswith("running_var")
        values = (
            random.uniform(0.5, 2, parameter.shape)
            if variance
            else random.normal(
                size=parameter.shape, scale=max(1, np.prod(parameter.shape[1:])) ** -0.5
            )
        )
        parameter.set_data(nd.array(values))
    # Biases and means cancel some of what they are added to, so the tolerance isn't that of a sum.
    x = nd.array(random.normal(size=IMAGE))
    x = x.transpose(TO_NHWC) if recipe.layout == "NHWC" else x
    return Original(net, (x,), tolerance=1e-4)


PASSES = {
    "copy": lambda graph, shapes: graph.copy(),
    "drop_no_ops": lambda graph, shapes: drop_no_ops(graph),
    "cancel_transposes": lambda graph, shapes: cancel_transposes(graph),
    "fold_constants": lambda graph, shapes: fold_constants(graph),
    "fold_scalings": lambda graph, shapes: fold_scalings(graph),
    "merge_in_graph": merge_in_graph,
    "spell_activations": lambda graph, shapes: spell_activations(graph),
    "spell_clips": lambda graph, shapes: spell_clips(graph, fusing=False),
    "widen_channels": widen_channels,
    "hoist_activations": lambda graph, shapes: hoist_activations(graph),
    "keep_apart": lambda graph, shapes: keep_apart(graph, graph.operators("Convolution")),
}


def check_passes(recipe):
    original = original_of(recipe)
    for name, change in PASSES.items():
        note(name)
        graph = original.graph.copy()
        change(graph, original.shapes)
        original.check(Program(graph.symbol(), graph.values, original.names))


def plans(shop):
    """All kinds of plans, with each algorithm wherever it is supported."""
    yield STOCK
    yield STOCK_FUSED
    for widened in (False, True):
        tasks = list(shop.tasks(Plan(widened=widened))[1].values())
        yield Plan(widened=widened)
        yield Plan(widened=widened, fused=True)
        yield Plan(widened=widened, fused=True, apart=frozenset(tasks))
        ruled = choosing.by_rule(tasks, shop.original.context)
        yield Plan(True, widened, ruled.algorithms, True, ruled.apart)
        for name, algorithm in ALGORITHMS.items():
            chosen = {t: name for t in tasks if not unsupported(name, t.geometry)}
            if chosen and name not in ("native", "definition", *choosing.CUSTOM):
                if not algorithm.eager_inference_only:
                    yield Plan(widened=widened, algorithms=chosen, fused=not widened)


@settings(max_examples=FAST)
@given(recipe=RECIPES)
def test_a_pass_changes_no_output(recipe):
    check_passes(recipe)


@settings(max_examples=FAST)
@given(recipe=RECIPES, data=st.data())
def test_a_plan_changes_no_output(recipe, data):
    shop = Workshop(original_of(recipe))
    plan = data.draw(st.sampled_from(list(plans(shop))))
    shop.original.check(shop.run(plan))


@SLOW
@settings(max_examples=MORE)
@given(recipe=RECIPES)
def test_a_pass_changes_no_output_of_many_networks(recipe):
    check_passes(recipe)


@SLOW
@settings(max_examples=MORE)
@given(recipe=RECIPES)
def test_no_plan_changes_an_output_of_many_networks(recipe):
    shop = Workshop(original_of(recipe))
    for plan in plans(shop):
        note(plan)
        shop.original.check(shop.run(plan))

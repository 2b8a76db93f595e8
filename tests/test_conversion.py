import copy
import re
from functools import partial

from helpers import EVERY, EVERY_MODE, MODES, SLOW, hybridize, integers, run, slow_but
from mxconv import MultiChannelConv2D
from mxconv.networks.conversion import convert, revert
from mxconv.networks.tracing import force_native
from mxconv.selection.choose import set_algorithm

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision

pytestmark = pytest.mark.kernels

FAMILIES = {  # a small member of each, and the smallest input its pooling takes
    "alexnet": 63,
    "densenet121": 224,
    "inception_v3": 299,
    "mobilenet0_25": 32,
    "mobilenet_v2_0_25": 32,
    "resnet18_v1": 32,
    "resnet18_v2": 32,
    "squeezenet1_0": 224,
    "vgg11": 32,
}


class Residual(nn.HybridBlock):
    """Layers as attributes, in a block inside, and one in two places; for x (n, 4, h, w)."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.first = nn.Conv2D(4, 3, padding=1)
            self.body = nn.HybridSequential()
            with self.body.name_scope():
                self.body.add(nn.Conv2D(4, [2, 3], 1, (1, 2), (2, 2), 2, activation="relu"))
                self.body.add(self.first)
            self.last = nn.Conv2D(2, 1, use_bias=False)

    def hybrid_forward(self, F, x):
        return self.last(x + self.body(self.first(x)))


NAMES = ["net_conv0", "net_hybridsequential0_conv0", "net_conv1"]


def build(mode="eager", ctx=None):
    """A network of small integers, so that equal sums are equal numbers, and an input."""
    net = Residual(prefix="net_")
    net.initialize(ctx=ctx or mx.cpu())
    x = integers((2, 4, 5, 6)).clip(-1, 1)
    net(x)
    for parameter in net.collect_params().values():
        parameter.set_data(integers(parameter.shape).clip(-1, 1))
    hybridize(net, mode)
    return net, x


def layers(net, kind=nn.Conv2D):
    """The layers of exactly one class, each once."""
    found = []
    net.apply(lambda block: type(block) is kind and block not in found and found.append(block))
    return found


def outputs(net, x):
    """Every array that a network gives, however nested, in NumPy."""

    def flat(y):
        return [y.asnumpy()] if isinstance(y, nd.NDArray) else sum(map(flat, y), [])

    return flat(net(x))


def traced(block):
    """How often the operator `Convolution` stands in the graph that a block has traced."""
    return block._cached_graph[1].tojson().count('"op": "Convolution"')


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


def assert_converted_equals(net, x):
    """Outputs with 'native' are those of `nn.Conv2D` to the bit, eager and hybridized."""
    eager = outputs(net, x)
    net.hybridize()
    hybridized = outputs(net, x)
    stock = layers(net)
    assert stock
    assert convert(net, "native") is net
    assert layers(net, MultiChannelConv2D) == stock and not layers(net)
    assert not net._cached_graph
    assert_equal(outputs(net, x), hybridized)
    net.hybridize(False)
    assert_equal(outputs(net, x), eager)
    assert any(array.std() > 0 for array in eager)


@pytest.mark.parametrize("name", slow_but(sorted(FAMILIES), "resnet18_v2"))
def test_the_model_zoo(name):
    net = getattr(vision, name)(classes=10)
    net.initialize(mx.init.Xavier())
    assert_converted_equals(net, nd.random.normal(shape=(1, 3, FAMILIES[name], FAMILIES[name])))


@pytest.mark.parametrize("name", ["mobilenet_v2_0_25", pytest.param("resnet18_v2", marks=SLOW)])
def test_files_go_both_ways(name, tmp_path):
    def make():
        return getattr(vision, name)(classes=10)

    net = make()
    net.initialize(mx.init.Xavier())
    x = nd.random.normal(shape=(1, 3, 32, 32))
    expected = outputs(net, x)
    before, after = str(tmp_path / "before.params"), str(tmp_path / "after.params")
    net.save_parameters(before)
    convert(net).save_parameters(after)
    for path, twin in ((before, convert(make(), "native")), (after, make())):
        twin.load_parameters(path)
        assert_equal(outputs(twin, x), expected)


def of_gluoncv(name, **arguments):
    """A network of gluoncv's zoo with weights drawn here, or a skip where there is no gluoncv."""
    reason = "gluoncv is not installed; with the extra 'gluoncv' networks of its zoo run here"
    pytest.importorskip("gluoncv", reason=reason)
    from gluoncv import model_zoo

    net = model_zoo.get_model(name, pretrained=False, **arguments)
    net.initialize(force_reinit=True)
    return net


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that importing gluoncv gives
@pytest.mark.parametrize(
    "name, size, arguments",
    [
        ("cifar_resnet20_v1", 32, {}),
        ("fcn_resnet50_ade", 64, dict(pretrained_base=False, base_size=64, crop_size=64)),
        ("yolo3_mobilenet1.0_voc", 128, dict(pretrained_base=False)),
    ],
)
def test_networks_of_gluoncv(name, size, arguments):
    net = of_gluoncv(name, **arguments)
    assert_converted_equals(net, nd.random.normal(shape=(1, 3, size, size)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_backbone_of_gluoncv_that_is_a_graph_is_left_alone():
    net = of_gluoncv("ssd_512_mobilenet1.0_voc", pretrained_base=False)
    x = nd.random.normal(shape=(1, 3, 128, 128))
    expected = outputs(net, x)
    with pytest.warns(UserWarning, match=r"left alone: \w*featureexpander0 \(a SymbolBlock"):
        convert(net, "native")
    assert layers(net, MultiChannelConv2D) and not layers(net)
    assert_equal(outputs(net, x), expected)


@EVERY
@EVERY_MODE
def test_each_algorithm_of_a_converted_network(name, mode):
    net, x = build(mode)
    expected = run(net, x)
    assert_equal(run(convert(net, name), x), expected)
    assert [layer.algorithm for layer in layers(net, MultiChannelConv2D)] == [name] * 3
    if MODES[mode] is not None:
        assert traced(net) == (4 if name == "native" else 0)


@EVERY_MODE
def test_parameters_stay_the_same_objects(mode, ctx):
    net, x = build(mode, [mx.cpu(0), mx.cpu(1)])
    net.cast("float64")
    net.first.weight.lr_mult, net.last.weight.wd_mult = 2, 3
    net.body.collect_params().setattr("grad_req", "add")
    expected = outputs(net, x.astype("float64").as_in_context(mx.cpu(1)))
    before = dict(net.collect_params().items())
    state = {name: dict(vars(parameter)) for name, parameter in before.items()}
    convert(net)
    after = net.collect_params()
    assert list(after) == list(before)
    for name, parameter in after.items():
        assert parameter is before[name]
        assert vars(parameter) == state[name]
    assert_equal(outputs(net, x.astype("float64").as_in_context(mx.cpu(1))), expected)


@EVERY_MODE
@pytest.mark.parametrize("algorithm", ["native", "im2col"])
def test_training_goes_on_with_the_trainer_of_before(mode, algorithm):
    """Rates and sizes are powers of two, so the first steps on integers are exact in any order."""
    results = []
    for converted in (False, True):
        mx.random.seed(7)
        np.random.seed(7)
        net, x = build(mode)
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 2.0**-6})
        for step in range(3):
            if converted and step == 1:
                convert(net, algorithm)
            with autograd.record():
                y = net(x)
            y.backward()
            trainer.step(2)
            values = [parameter.data() for parameter in net.collect_params().values()]
            results.append([array.asnumpy() for array in [y] + values])
    for stock, ours in zip(results[:3], results[3:]):
        for a, b in zip(stock, ours):
            np.testing.assert_allclose(b, a, rtol=0 if algorithm == "native" else 1e-4)
    assert not np.array_equal(results[4][1], results[5][1])


@EVERY
@EVERY_MODE
def test_deferred_channels(name, mode):
    net, x = build()
    expected = run(net, x)
    values = [parameter.data() for parameter in net.collect_params().values()]
    for initialize_first in (True, False):
        fresh = Residual(prefix="net_")
        hybridize(fresh, mode)
        steps = [fresh.initialize, partial(convert, fresh, name)]
        for step in steps if initialize_first else reversed(steps):
            step()
        fresh(x)
        for parameter, value in zip(fresh.collect_params().values(), values):
            parameter.set_data(value)
        assert_equal(run(fresh, x), expected)
        assert_equal(run(set_algorithm(fresh, name), x), expected)  # traced with known channels


def test_initializers_are_kept():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(2, 1, weight_initializer="ones", bias_initializer=mx.init.Constant(3)))
    convert(net).initialize()
    assert (net(nd.ones((1, 2, 2, 2))).asnumpy() == 5).all()


def test_a_layer_in_two_places_and_layers_that_share_parameters():
    net, x = build()
    convert(net)
    assert net.first is net.body[1]
    assert len(layers(net, MultiChannelConv2D)) == 3
    pair = nn.HybridSequential()
    pair.add(nn.Conv2D(4, 1, in_channels=4))
    pair.add(nn.Conv2D(4, 1, in_channels=4, params=pair[0].params))
    pair.initialize()
    expected = run(pair, x)
    assert_equal(run(convert(pair, "native"), x), expected)
    assert pair[0].weight is pair[1].weight


def test_layers_in_a_list():
    """They are converted where they have a place in the network as well, as Gluon asks for."""
    net, _ = build()
    net.listed, net.unregistered = [net.first], [nn.Conv2D(2, 1)]
    convert(net)
    assert type(net.listed[0]) is MultiChannelConv2D
    assert type(net.unregistered[0]) is nn.Conv2D


def test_hooks_are_kept():
    net, x = build()
    seen = []
    handles = [
        net.first.register_forward_hook(lambda block, x, y: seen.append(("after", block))),
        net.first.register_forward_pre_hook(lambda block, x: seen.append(("before", block))),
    ]
    convert(net)(x)
    assert seen == [("before", net.first), ("after", net.first)] * 2
    for handle in handles:
        handle.detach()
    net(x)
    assert len(seen) == 4


@EVERY_MODE
def test_a_lone_layer(mode):
    layer = nn.Conv2D(3, 3, in_channels=4)
    layer.initialize()
    hybridize(layer, mode)
    x = integers((1, 4, 5, 5))
    expected = run(layer, x)
    assert type(convert(layer, "native")) is MultiChannelConv2D
    assert_equal(run(layer, x), expected)
    assert_equal(run(copy.deepcopy(layer), x), expected)
    assert type(revert(layer)) is nn.Conv2D
    assert_equal(run(layer, x), expected)


@EVERY_MODE
def test_revert_undoes_convert(mode):
    net, x = build(mode)
    expected, text = run(net, x), repr(net)
    state = [sorted(vars(layer)) for layer in layers(net)]
    run(convert(net, "im2col"), x)
    assert repr(net) != text
    assert revert(net) is net
    assert repr(net) == text
    assert [sorted(vars(layer)) for layer in layers(net)] == state
    assert_equal(run(net, x), expected)
    if MODES[mode] is not None:
        assert traced(net) == 4


def test_revert_of_layers_that_were_built():
    net = nn.HybridSequential()
    net.add(
        MultiChannelConv2D(3, 3, padding="same", algorithm="im2col", activation="relu"),
        MultiChannelConv2D(2, 3, padding_mode="reflect", strides=2, dtype="float64"),
    )
    net.cast("float64")
    net.initialize()
    x = nd.random.normal(shape=(1, 4, 7, 7), dtype="float64")
    expected = net(x).asnumpy()
    revert(net)
    assert len(layers(net)) == 2
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-10, atol=1e-12)
    assert revert(net) is net


class Ours(MultiChannelConv2D):
    pass


class Theirs(nn.Conv2D):
    pass


@pytest.mark.parametrize(
    "kind, arguments, says",
    [
        (MultiChannelConv2D, dict(padding=((0, 1), (0, 0))), r"padding=\(\(0, 1\).*'zeros'"),
        (MultiChannelConv2D, dict(padding=1, padding_mode="edge"), r"padding=\(1, 1\).*'edge'"),
        (Ours, {}, "a Ours, derived from MultiChannelConv2D"),
    ],
)
def test_revert_changes_all_or_nothing(kind, arguments, says):
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(2, 3, algorithm="im2col"), kind(2, 3, prefix="odd_", **arguments))
    with pytest.raises(ValueError, match=rf"can't express odd \({says}\).*left as it was"):
        revert(net)
    assert type(net[0]) is MultiChannelConv2D and net[0].algorithm == "im2col"


def test_nhwc_is_converted_runs_on_the_cpu_and_goes_back():
    stock = nn.Conv2D(6, (3, 2), groups=2, layout="NHWC")
    stock.initialize()
    x = integers((2, 5, 6, 4))
    y = convert(stock)(x)
    first = nn.Conv2D(6, (3, 2), groups=2, in_channels=4)
    first.initialize()
    first.weight.set_data(stock.weight.data().transpose((0, 3, 1, 2)))
    expected = first(x.transpose((0, 3, 1, 2))).transpose((0, 2, 3, 1))
    assert np.array_equal(y.asnumpy(), expected.asnumpy())
    assert revert(stock)._kwargs["layout"] == "NHWC" and type(stock) is nn.Conv2D


def test_what_cannot_be_converted_is_left_alone_and_named_once():
    graph = nn.Conv2D(2, 1, in_channels=2)(mx.sym.var("data"))
    net = nn.Sequential()
    net.add(
        Theirs(2, 1, prefix="derived_"),
        nn.Conv2D(2, 1, padding=-1, prefix="negative_"),
        nn.Conv2D(2, 1, in_channels=2, op_name="Deconvolution", prefix="other_"),
        gluon.SymbolBlock(graph, mx.sym.var("data")),
        nn.Conv2D(2, 1, prefix="fine_"),
    )
    before = [type(block) for block in net]
    with pytest.warns(UserWarning) as caught:
        convert(net)
    assert len(caught) == 1
    text = str(caught[0].message)
    for says in (
        "derived (a Theirs, derived from nn.Conv2D)",
        "negative (padding is out of range: expected an integer >= 0, received padding=-1)",
        "other (it was built with op_name='Deconvolution')",
        "(a SymbolBlock, which is a graph without layers)",
    ):
        assert says in text
    assert "fine" not in text
    assert caught[0].filename == __file__
    assert [type(block) for block in net] == before[:4] + [MultiChannelConv2D]


def test_convert_has_nothing_to_do_or_to_say():
    a = mx.sym.var("a")
    for net in (nn.Dense(2), nn.HybridSequential(), gluon.SymbolBlock(a * 2, a)):
        assert convert(net) is net
    built = nn.HybridSequential()
    built.add(MultiChannelConv2D(2, 1, algorithm="im2col"), nn.Conv2D(2, 1), Ours(2, 1))
    convert(built, "definition")
    assert [layer.algorithm for layer in built] == ["im2col", "definition", "auto"]


def test_numpy_arrays():
    mx.npx.set_np()
    try:
        net = nn.HybridSequential()
        net.add(nn.Conv2D(4, 3), nn.BatchNorm(), nn.Conv2D(2, 1))
        net.initialize()
        assert_converted_equals(net, mx.np.random.normal(size=(2, 3, 6, 6)))
    finally:
        mx.npx.reset_np()


def test_block_save_loads_into_the_same_classes(tmp_path):
    """Gluon writes class names into these files, so a converted network goes back for them."""
    net, x = build("hybridized")
    expected = outputs(net, x)
    net.save(str(tmp_path / "net"))
    twin = convert(Residual(prefix="net_"))
    with pytest.raises(KeyError, match="multichannelconv2d"):
        twin.load(str(tmp_path / "net"))
    twin = revert(convert(Residual(prefix="net_")))
    twin.load(str(tmp_path / "net"))
    assert_equal(outputs(convert(twin, "native"), x), expected)


@EVERY
def test_export(name, tmp_path):
    net, x = build("hybridized")
    expected = net(x).asnumpy()
    convert(net, name)(x)
    net.export(str(tmp_path / "net"))
    loaded = gluon.SymbolBlock.imports(
        str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")
    )
    assert np.array_equal(loaded(x).asnumpy(), expected)
    assert set(loaded.collect_params()) == set(net.collect_params())
    with pytest.raises(ValueError, match="a SymbolBlock .*has none.*graph without layers"):
        set_algorithm(loaded, "im2col")


@EVERY_MODE
def test_set_algorithm_traces_anew_and_keeps_the_flags(mode):
    net, x = build(mode)
    expected = run(net, x)
    convert(net, "native")
    flags = copy.deepcopy((net._active, net._flags))
    for name in ("im2col", "definition", "auto", "native"):
        assert set_algorithm(net, name) is net
        assert_equal(run(net, x), expected)
        net.body(x)
        assert [layer.algorithm for layer in layers(net, MultiChannelConv2D)] == [name] * 3
        assert (net._active, net._flags) == flags
        if MODES[mode] is not None:
            assert traced(net) == 2 * traced(net.body) == (4 if name in ("auto", "native") else 0)


@pytest.mark.parametrize(
    "where, picked",
    [
        (None, NAMES),
        ("net_conv0", NAMES[:1]),
        (".*conv0", NAMES[:2]),
        (lambda layer: layer.geometry.pointwise, NAMES[2:]),
        (lambda layer: layer.geometry.groups > 1, NAMES[1:2]),
    ],
)
def test_set_algorithm_of_some_layers(where, picked):
    net, x = build("hybridized")
    expected = run(net, x)
    convert(net, "native")
    run(net, x)
    set_algorithm(net, "im2col", where)
    found = layers(net, MultiChannelConv2D)
    assert {layer.name for layer in found} == set(NAMES)
    assert {layer.name for layer in found if layer.algorithm == "im2col"} == set(picked)
    assert_equal(run(net, x), expected)
    assert traced(net) == 4 - len(picked) - (NAMES[0] in picked)  # the first layer runs twice


def test_set_algorithm_keeps_the_fusion_of_optimize_for():
    net, x = build()
    expected = net(x).asnumpy()
    convert(net, "native")
    net.optimize_for(x, backend="MKLDNN", static_alloc=True, static_shape=True)
    for name, fused in (("native", True), ("im2col", False), ("native", True)):
        set_algorithm(net, name)
        assert np.array_equal(net(x).asnumpy(), expected)
        assert ("_sg_mkldnn_conv" in net._cached_graph[1].tojson()) == fused


@pytest.mark.parametrize(
    "arguments, error, says",
    [
        (dict(algorithm="fast"), ValueError, "'auto', 'native', 'im2col', .*algorithm='fast'"),
        (dict(where="net_conv"), ValueError, "one of net_conv0, .*where='net_conv'"),
        (dict(where=lambda layer: False), ValueError, "one of net_conv0, .*where=<function"),
        (dict(where="("), ValueError, r"not a valid regular expression: .*where='\('"),
        (dict(where=3), TypeError, "regular expression or a callable such as .*, received where=3"),
        (
            dict(where=MultiChannelConv2D(2, 1)),
            TypeError,
            "lambda layer: layer is net.0., received",
        ),
        (dict(where=lambda layer: 1 / 0), ZeroDivisionError, ""),
        (dict(net=nn.Dense(2)), ValueError, "received a Dense named 'dense.* has none.*convert"),
        (dict(net=nd.ones(2)), TypeError, "expected an mxnet.gluon.Block, received net="),
    ],
    ids=str,
)
def test_set_algorithm_changes_all_or_nothing(arguments, error, says):
    net, _ = build()
    convert(net, "native")
    with pytest.raises(error, match=re.compile(says, re.DOTALL)):
        set_algorithm(**{"net": net, "algorithm": "im2col", **arguments})
    assert [layer.algorithm for layer in layers(net, MultiChannelConv2D)] == ["native"] * 3


def test_an_algorithm_that_some_layers_do_not_support_is_refused_before_any_changes():
    net, _ = build()
    with pytest.raises(ValueError, match="'subsample' doesn't support net_conv0.*left as it was"):
        convert(net, "subsample")
    assert not layers(net, MultiChannelConv2D)
    convert(net)
    with pytest.raises(ValueError, match="'subsample' doesn't support net_conv0.*left as it was"):
        set_algorithm(net, "subsample")
    assert [layer.algorithm for layer in layers(net, MultiChannelConv2D)] == ["auto"] * 3


@pytest.mark.parametrize("function", [convert, revert])
@pytest.mark.parametrize("net", [None, "net", [nn.Conv2D(2, 1)], nn.Conv2D], ids=str)
def test_what_is_no_network(function, net):
    with pytest.raises(TypeError, match="expected an mxnet.gluon.Block, received net="):
        function(net)


def test_convert_with_an_unknown_algorithm_changes_nothing():
    net, _ = build()
    with pytest.raises(ValueError, match="algorithm='fast'"):
        convert(net, "fast")
    assert len(layers(net)) == 3


def test_native_may_be_forced_while_it_is_forced():
    """As by a hook that counts the cost of a layer while its network is traced."""
    layer = MultiChannelConv2D(2, 1, algorithm="im2col")
    with force_native(layer):
        with force_native(layer):
            assert layer.chosen_algorithm == "native"
        assert layer.chosen_algorithm == "native"
    assert layer.chosen_algorithm == "im2col"

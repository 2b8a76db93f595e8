import subprocess
import sys
import textwrap

import oracle
from helpers import EVERY, EVERY_LAYER, EVERY_MODE, LAYERS, fill, hybridize, integers, run
from mxconv import MultiChannelConv2D, corr2d_multi_in_out

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn

pytestmark = pytest.mark.kernels


def twins(arguments, ctx=None, **extra):
    """Our layer and `nn.Conv2D` with the same parameters; for 4 input channels, or as given."""
    arguments = {"in_channels": 4, **arguments}
    stock = nn.Conv2D(**arguments)
    stock.initialize(ctx=ctx or mx.cpu())
    fill(stock)
    layer = MultiChannelConv2D(**arguments, **extra)
    layer.initialize(ctx=ctx or mx.cpu())
    for ours, theirs in zip(layer.collect_params().values(), stock.collect_params().values()):
        ours.set_data(theirs.data())
    return layer, stock


@EVERY
@EVERY_MODE
@EVERY_LAYER
def test_the_layer_equals_nn_conv2d(name, mode, arguments, size, ctx):
    layer, stock = twins(arguments, ctx, algorithm=name)
    hybridize(layer, mode)
    x = integers((2, 4) + size, ctx)
    dy = integers(stock(x).shape, ctx)
    exact = arguments.get("activation") != "tanh"
    for ours, theirs in zip(run(layer, x, dy), run(stock, x, dy)):
        assert ours.dtype == theirs.dtype
        if exact:
            assert np.array_equal(ours, theirs)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@EVERY_MODE
@pytest.mark.parametrize(
    "name, arguments, size",
    [
        ("pad_channels", dict(channels=12, kernel_size=3, padding=1, activation="relu"), (6, 7)),
        ("pad_channels", dict(channels=9, kernel_size=3, dilation=2, in_channels=8), (6, 7)),
        ("pad_channels", dict(channels=20, kernel_size=3, strides=2, use_bias=False), (6, 7)),
        (
            "split_channels",
            dict(channels=9, kernel_size=3, groups=9, strides=2, in_channels=9),
            (7, 7),
        ),
        ("depth_to_space", dict(channels=1, kernel_size=5, padding=2), (9, 10)),
        (
            "depth_to_space",
            dict(channels=3, kernel_size=(2, 3), strides=(2, 1), dilation=2),
            (9, 8),
        ),
        (
            "depth_to_space",
            dict(channels=2, kernel_size=(5, 4), strides=(1, 2), in_channels=1),
            (9, 8),
        ),
        ("kn2row", dict(channels=3, kernel_size=(2, 3), padding=1, activation="relu"), (9, 8)),
        ("kn2row", dict(channels=4, kernel_size=3, padding=3, dilation=2, groups=2), (5, 6)),
        ("subsample", dict(channels=8, kernel_size=1, strides=2, groups=2), (5, 6)),
        ("train_layout", dict(channels=16, kernel_size=3, activation="relu"), (9, 8)),
        ("fft", dict(channels=4, kernel_size=5, padding=3, strides=2, groups=2), (9, 8)),
    ],
)
def test_algorithms_for_some_geometries_equal_nn_conv2d(name, mode, arguments, size, ctx):
    layer, stock = twins(arguments, ctx, algorithm=name)
    hybridize(layer, mode)
    for n, h, w in ((2, *size), (1, size[0] + 3, size[1] + 2)):
        x = integers((n, arguments.get("in_channels", 4), h, w), ctx)
        dy = integers(stock(x).shape, ctx)
        for ours, theirs in zip(run(layer, x, dy), run(stock, x, dy)):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * (name == "fft"))
        assert not autograd.is_training()
        np.testing.assert_allclose(layer(x).asnumpy(), stock(x).asnumpy(), rtol=0, atol=1e-9)


class Modes(nn.HybridBlock):
    """What stands for the activation, to see in which mode it is computed."""

    def hybrid_forward(self, F, x):
        self.seen = autograd.is_recording(), autograd.is_training()
        return x


@pytest.mark.parametrize("name", ["native", "train_layout"])
def test_only_a_call_outside_record_is_computed_in_the_mode_of_training(name):
    layer, _ = twins(dict(channels=16, kernel_size=3), algorithm=name)
    layer.act = Modes()
    x = integers((1, 4, 5, 5))
    layer(x)
    assert layer.act.seen == (False, name == "train_layout")
    for train_mode in (True, False):
        with autograd.record(train_mode=train_mode):
            layer(x)
        assert layer.act.seen == (True, train_mode)
    assert not autograd.is_training()


def test_an_algorithm_that_is_not_for_the_layer_is_refused_where_it_is_asked_for():
    with pytest.raises(ValueError, match="'subsample' doesn't support kernels other than 1x1"):
        MultiChannelConv2D(4, 3, strides=2, in_channels=2, algorithm="subsample")
    layer = MultiChannelConv2D(16, 3, in_channels=2)
    with pytest.raises(
        ValueError, match="algorithm='pad_channels' doesn't support channels that are a multiple"
    ):
        layer.algorithm = "pad_channels"
    assert layer.algorithm == "auto"
    waiting = MultiChannelConv2D(4, 3, groups=2, algorithm="depth_to_space")
    waiting.initialize()
    with pytest.raises(ValueError, match="algorithm='depth_to_space' doesn't support groups"):
        waiting(nd.ones((1, 4, 5, 5)))


@EVERY
@EVERY_MODE
def test_changing_input_shapes(name, mode):
    layer, stock = twins(dict(channels=3, kernel_size=3, strides=2, padding=1), algorithm=name)
    hybridize(layer, mode)
    for shape in ((1, 4, 5, 5), (3, 4, 8, 6), (2, 4, 1, 9), (1, 4, 5, 5)):
        x = integers(shape)
        assert np.array_equal(layer(x).asnumpy(), stock(x).asnumpy())


@EVERY
def test_the_layer_equals_the_chapters_function(name):
    layer = MultiChannelConv2D(3, 2, use_bias=False, in_channels=2, algorithm=name)
    layer.initialize()
    fill(layer)
    x = integers((2, 2, 5, 4))
    for example, output in zip(x, layer(x)):
        expected = corr2d_multi_in_out(example, layer.weight.data())
        assert np.array_equal(output.asnumpy(), expected.asnumpy())


@EVERY
def test_float64_is_within_its_own_rounding(name):
    layer = MultiChannelConv2D(3, 3, padding=1, in_channels=4, algorithm=name)
    layer.initialize(mx.init.Normal(1))
    layer.cast("float64")
    x = nd.random.normal(shape=(2, 4, 6, 6), dtype="float64")
    operands = [a.asnumpy() for a in (x, layer.weight.data(), layer.bias.data())]
    exact, magnitude = (
        oracle.convolve(*(f(a) for a in operands), padding=(1, 1)) for f in (np.array, np.abs)
    )
    oracle.assert_within(layer(x), exact, magnitude, np.float64, terms=80)


@EVERY
@EVERY_MODE
@pytest.mark.parametrize("parent", ["eager parent", "hybridized parent"])
def test_deferred_channels_in_a_network(name, mode, parent):
    def network(layer, **kwargs):
        net = nn.HybridSequential(prefix="net_")
        with net.name_scope():
            net.add(
                layer(3, 3, padding=1, activation="relu", **kwargs),
                nn.MaxPool2D(),
                layer(2, 1, **kwargs),
                nn.Dense(2),
            )
        net.initialize()
        return net

    net, stock = network(MultiChannelConv2D, algorithm=name), network(nn.Conv2D)
    hybridize(net if parent == "hybridized parent" else net[0], mode)
    x = integers((2, 4, 6, 6))
    net(x), stock(x)
    assert net[0].geometry.in_channels == 4
    assert net[2].geometry.in_channels == 3
    assert list(net.collect_params()) == list(stock.collect_params())
    for ours, theirs in zip(net.collect_params().values(), stock.collect_params().values()):
        theirs.set_data(integers(theirs.shape))
        ours.set_data(theirs.data())
    for ours, theirs in zip(run(net, x), run(stock, x)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-3)


def test_files_go_both_ways(tmp_path):
    layer, stock = twins(dict(channels=3, kernel_size=3))
    x = integers((1, 4, 5, 5))
    for source, target in ((layer, nn.Conv2D), (stock, MultiChannelConv2D)):
        path = str(tmp_path / "layer.params")
        source.save_parameters(path)
        loaded = target(3, 3)
        loaded.load_parameters(path)
        assert np.array_equal(loaded(x).asnumpy(), source(x).asnumpy())


def test_names_and_repr_are_those_of_nn_conv2d():
    for arguments, _ in LAYERS:
        layer = MultiChannelConv2D(prefix="c_", **arguments)
        stock = nn.Conv2D(prefix="c_", **arguments)
        assert repr(layer) == repr(stock).replace("Conv2D", "MultiChannelConv2D", 1)
        assert list(layer.collect_params()) == list(stock.collect_params())
        assert [p.shape for p in layer.collect_params().values()] == [
            p.shape for p in stock.collect_params().values()
        ]
    assert MultiChannelConv2D(3, 3)._alias() == "conv"
    assert repr(MultiChannelConv2D(3, [2, 2], algorithm="im2col")) == (
        "MultiChannelConv2D(None -> 3, kernel_size=(2, 2), stride=(1, 1), algorithm=im2col)"
    )


def test_direct_traces_the_symbol_of_nn_conv2d():
    layer = MultiChannelConv2D(3, 3, 2, 1, prefix="c_", in_channels=2, algorithm="native")
    stock = nn.Conv2D(3, 3, 2, 1, prefix="c_", in_channels=2)
    assert layer(mx.sym.var("data")).tojson() == stock(mx.sym.var("data")).tojson()


def test_initializers_and_shared_parameters():
    layer = MultiChannelConv2D(
        2, 1, in_channels=2, weight_initializer="ones", bias_initializer=mx.init.Constant(3)
    )
    layer.initialize()
    shared = MultiChannelConv2D(
        2,
        1,
        in_channels=2,
        weight_initializer="ones",
        bias_initializer=layer.bias.init,
        params=layer.params,
    )
    x = nd.ones((1, 2, 2, 2))
    assert (layer(x).asnumpy() == 5).all()
    layer.weight.set_data(nd.zeros((2, 2, 1, 1)))
    assert (shared(x).asnumpy() == 3).all()


def test_replicas_on_two_contexts_train_alike():
    """Two CPU contexts stand in for two devices; a batch's gradient is the sum of its halves'."""
    contexts = [mx.cpu(0), mx.cpu(1)]
    layer, stock = twins(dict(channels=3, kernel_size=3), contexts)
    x = integers((4, 4, 5, 5))
    with autograd.record():
        outputs = [layer(part) for part in gluon.utils.split_and_load(x, contexts)]
    autograd.backward(outputs)
    assert [y.context for y in outputs] == contexts
    total = sum(grad.as_in_context(mx.cpu(0)) for grad in layer.weight.list_grad())
    assert np.array_equal(total.asnumpy(), run(stock, x)[2])


@pytest.mark.skipif(
    not mx.context.num_gpus(),
    reason="no GPU here; with one, a float16 layer on it would be compared with float32 on the CPU",
)
@EVERY
def test_float16_on_a_gpu(name):
    layer, _ = twins(dict(channels=3, kernel_size=3), algorithm=name)
    x = integers((2, 4, 5, 5))
    expected = layer(x).asnumpy()
    layer.collect_params().reset_ctx(mx.gpu(0))
    layer.cast("float16")
    y = layer(x.as_in_context(mx.gpu(0)).astype("float16"))
    assert y.dtype == np.float16
    assert np.array_equal(y.asnumpy(), expected)


BAD_ARGUMENTS = [  # what the constructor refuses beyond test_geometry's table
    (dict(activation="swish"), ValueError, "activation='swish'"),
    (dict(algorithm="fast"), ValueError, "'auto', 'native', 'im2col', .*algorithm='fast'"),
    (dict(layout="NHCW"), ValueError, "layout='NHCW'"),
    (dict(padding_mode="wrap"), ValueError, "padding_mode='wrap'"),
    (dict(padding="full"), ValueError, "padding='full'"),
    (dict(padding="same", strides=2), ValueError, r"strides of 1.*strides=\(2, 2\)"),
    (dict(dtype="int32"), TypeError, "expected 'float16', .*'bfloat16', received dtype='int32'"),
    (dict(dtype="fp32"), TypeError, "received dtype='fp32'"),
    (dict(groups=0), ValueError, "groups=0"),
    (dict(padding=-1), ValueError, "padding=-1"),
    (dict(strides=0), ValueError, "strides=0"),
    (dict(groups=3), ValueError, "channels=4, groups=3"),
    (dict(weight_initializer="glorot"), ValueError, "weight_initializer='glorot'"),
    (dict(bias_initializer=0), TypeError, "bias_initializer=0"),
    (dict(stride=2), TypeError, "no argument stride, received stride=2; use strides instead"),
    (dict(op_name="Deconvolution"), TypeError, "no argument op_name, .*='Deconvolution'$"),
    (dict(dtype=nd.ones(2)), TypeError, "received dtype="),
    (dict(use_bias="no"), TypeError, "expected True or False, received use_bias='no'"),
    (dict(use_bias=2), TypeError, "use_bias=2"),
    (dict(prefix=3), TypeError, "expected None or a str, received prefix=3"),
    (dict(params={}), TypeError, "gluon.ParameterDict, received params={}"),
    (dict(kernel_size=2**16), ValueError, r"the weight \(4, 1, 65536, 65536\) would have"),
]


@pytest.mark.parametrize("arguments, error, says", BAD_ARGUMENTS, ids=str)
def test_bad_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        MultiChannelConv2D(**{"channels": 4, "kernel_size": 3, **arguments})


@pytest.mark.parametrize("yes, no", [(True, False), (np.bool_(True), np.bool_(False)), (1, 0)])
def test_use_bias_is_a_truth_value(yes, no):
    assert MultiChannelConv2D(4, 3, use_bias=yes).bias is not None
    assert MultiChannelConv2D(4, 3, use_bias=no).bias is None


@pytest.mark.slow
def test_bad_arguments_do_not_kill_the_process():
    """`nn.Conv2D(groups=0)` ends the process with a signal, so this runs in a child."""
    code = """
        from mxconv import MultiChannelConv2D
        for groups in (0, -1):
            try:
                MultiChannelConv2D(4, 3, groups=groups)
            except ValueError as error:
                print(error)
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )
    assert b"groups=0" in child.stdout and b"groups=-1" in child.stdout


BAD_INPUTS = [
    (lambda: nd.ones((4, 5, 5)), ValueError, r"\(batch, in_channels, height, width\).*\(4, 5, 5\)"),
    (
        lambda: nd.ones((1, 5, 5, 5)),
        ValueError,
        r"in_channels=4 channels on axis 1.*\(1, 5, 5, 5\)",
    ),
    (
        lambda: nd.ones((1, 4, 2, 5)),
        ValueError,
        r"kernel is larger.*kernel_size=\(3, 3\).*\(1, 4, 2, 5\)",
    ),
    (lambda: nd.ones((1, 4, 5, 5), dtype="int32"), TypeError, "parameters' dtype float32.*int32"),
    (
        lambda: nd.ones((1, 4, 5, 5), dtype="float64"),
        TypeError,
        "parameters' dtype float32.*float64",
    ),
    (lambda: nd.ones((1, 4, 5, 5), ctx=mx.cpu(1)), ValueError, r"cpu\(0\).*cpu\(1\)"),
    (lambda: np.ones((1, 4, 5, 5)), TypeError, "x has the wrong type.*NDArray.*numpy.ndarray"),
    (lambda: [[1]], TypeError, "NDArray.*list"),
    (lambda: None, TypeError, "NDArray.*NoneType"),
]


@EVERY
@pytest.mark.parametrize("mode", ["eager", "static_shape"])
@pytest.mark.parametrize("make, error, says", BAD_INPUTS)
def test_bad_inputs(name, mode, make, error, says):
    """Refused at the call, with nothing waiting to fail behind it, and the layer still works."""
    layer, stock = twins(dict(channels=3, kernel_size=3), algorithm=name)
    hybridize(layer, mode)
    good = integers((1, 4, 5, 5))
    layer(good)
    with pytest.raises(error, match=says):
        layer(make())
    nd.waitall()
    assert np.array_equal(layer(good).asnumpy(), stock(good).asnumpy())


@EVERY
def test_float16_is_refused_on_the_cpu(name):
    layer, _ = twins(dict(channels=3, kernel_size=3), algorithm=name)
    layer.cast("float16")
    with pytest.raises(TypeError, match="float16 on a GPU; received parameters of float16 on cpu"):
        layer(nd.ones((1, 4, 5, 5), dtype="float16"))


def test_an_uninitialized_layer_says_so():
    with pytest.raises(RuntimeError, match="has not been initialized"):
        MultiChannelConv2D(3, 3)(nd.ones((1, 4, 5, 5)))


def test_a_wrong_first_input_leaves_deferred_channels_open():
    layer = MultiChannelConv2D(4, 3, groups=2)
    layer.initialize()
    for bad in (nd.ones((1, 3, 5, 5)), nd.ones((1, 4, 2, 2)), nd.ones((1, 4, 5, 5), dtype="int32")):
        with pytest.raises((ValueError, TypeError)):
            layer(bad)
    assert layer(nd.ones((1, 6, 5, 5))).shape == (1, 4, 3, 3)


def test_the_definition_refuses_a_huge_graph_and_runs_it_eagerly():
    layer = MultiChannelConv2D(24, 3, in_channels=20, use_bias=False, algorithm="definition")
    layer.initialize()
    fill(layer)
    x = integers((1, 20, 3, 3))
    y = layer(x)
    assert np.array_equal(y.asnumpy(), oracle.convolve(x.asnumpy(), layer.weight.data().asnumpy()))
    layer.hybridize()
    with pytest.raises(ValueError, match="24 x 20 x 3 x 3 = 4320 taps"):
        layer(x)


@pytest.mark.parametrize("name, ours", [("out_channels", "channels"), ("filters", "channels")])
def test_a_name_from_elsewhere_is_rejected_before_python_misses_an_argument(name, ours):
    with pytest.raises(TypeError, match=f"no argument {name}, received {name}=4; use {ours} inst"):
        MultiChannelConv2D(**{name: 4}, kernel_size=3)

    class Strided(MultiChannelConv2D):
        """A subclass may call its own arguments what it likes."""

        def __init__(self, out_channels, stride):
            super().__init__(out_channels, 3, strides=stride)

    assert Strided(out_channels=4, stride=2).strides == (2, 2)

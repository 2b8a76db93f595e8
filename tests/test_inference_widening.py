"""Zero channels that make every number of channels a multiple of 8 change no output.

Parameters and inputs are small integers, so the sums are exact in any order.
"""

from helpers import integers
from mxconv.inference.spelling import spell_activations
from mxconv.inference.widening import widen_channels
from passes import DATA, assert_close, assert_equal, convolution, graph_of, operators, run

import pytest
from mxnet import nd, npx, sym

pytestmark = pytest.mark.kernels

SHAPE = 2, 3, 8, 8


class Net:
    """Writes a network of convolutions; each gets integers once its input channels are known."""

    def __init__(self):
        self.values, self.count = {}, 0

    def conv(self, x, c_i, c_o, k=1, groups=1, bias=True, operator=sym.Convolution, **attributes):
        name, self.count = f"conv{self.count}", self.count + 1
        attributes.update(kernel=(k, k), num_filter=c_o)
        if groups > 1:
            attributes["num_group"] = groups
        shape = (c_o, c_i // groups) if operator is sym.Convolution else (c_i, c_o // groups)
        self.values[f"{name}_weight"] = integers((*shape, k, k), most=2)
        if bias:
            self.values[f"{name}_bias"] = integers((c_o,))
        return convolution(x, name, bias=bias, operator=operator, **attributes)

    def deconv(self, x, c_i, c_o, k=2, **attributes):
        return self.conv(x, c_i, c_o, k, operator=sym.Deconvolution, **attributes)


def relu(x):
    return sym.Activation(x, act_type="relu")


def widened(network, shape=SHAPE, close=False):
    """The number that was widened and the graph, whose outputs are those it had before."""
    net = Net()
    graph = graph_of(network(net, DATA), **net.values)
    x = integers(shape, most=2)
    before = run(graph, x)
    count = widen_channels(graph, {"data": shape})
    (assert_close if close else assert_equal)(run(graph.copy(), x), before)
    smaller = x[:1, :, :6, :6]  # other sizes than it was widened for
    twin = graph_of(network(Net(), DATA), **net.values)
    (assert_close if close else assert_equal)(run(graph, smaller), run(twin, smaller))
    return count, graph


def channels(graph):
    """The output channels of all convolutions."""
    nodes = graph.operators("Convolution", "Deconvolution")
    return [int(node.attributes["num_filter"]) for node in nodes]


BETWEEN = {  # one input of c channels, an output of as many
    "relu": relu,
    "tanh": lambda x: sym.Activation(x, act_type="tanh"),
    "softsign": lambda x: sym.Activation(x, act_type="softsign"),
    "leaky relu": lambda x: sym.LeakyReLU(x, slope=0.25),
    "elu": lambda x: sym.LeakyReLU(x, act_type="elu"),
    "gelu": lambda x: sym.LeakyReLU(x, act_type="gelu"),
    "clip": lambda x: sym.clip(x, -1, 6),
    "clip from 0": lambda x: sym.clip(x, 0, 6),
    "clip without an end": lambda x: sym.clip(x, 0, float("inf")),
    "minimum": lambda x: sym._internal._minimum_scalar(relu(x), scalar=6),
    "minimum with infinity": lambda x: sym._internal._minimum_scalar(x, scalar=float("inf")),
    "max pooling": lambda x: sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max"),
    "average pooling": lambda x: sym.Pooling(x, kernel=(3, 3), pad=(1, 1), pool_type="avg"),
    "global pooling": lambda x: sym.Pooling(x, kernel=(1, 1), global_pool=True, pool_type="max"),
    "upsampling": lambda x: sym.UpSampling(x, scale=2, sample_type="nearest"),
    "sum with itself": lambda x: x + relu(x),
    "nothing": lambda x: x,
}
EVERY_BETWEEN = pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)


@EVERY_BETWEEN
def test_zeros_pass_between_two_convolutions(between, request):
    def network(net, x):
        return net.conv(between(net.conv(x, 3, 12, 3)), 12, 5)

    close = any(name in request.node.name for name in ("tanh", "soft", "elu", "average"))
    count, graph = widened(network, close=close)
    assert count == 1
    assert channels(graph) == [16, 5]  # the last one is an output
    assert "slice_axis" not in operators(graph)


STOPPING = {
    "sigmoid": lambda x: sym.Activation(x, act_type="sigmoid"),
    "softplus": lambda x: sym.Activation(x, act_type="softrelu"),
    "clip from 1": lambda x: sym.clip(x, 1, 6),
    "clip below 0": lambda x: sym.clip(x, -6, -1),
    "minimum below 0": lambda x: sym._internal._minimum_scalar(x, scalar=-1),
    "a number is added": lambda x: x + 1,
    "softmax": lambda x: sym.softmax(x, axis=1),
    "reordering": lambda x: sym.reverse(x, axis=1),
    "a mean over channels": lambda x: sym.broadcast_add(x, sym.mean(x, axis=1, keepdims=True)),
    "concatenation along the height": lambda x: sym.concat(x, x, dim=2),
    "an input is added": lambda x: sym.broadcast_add(
        x, sym.sum(DATA, axis=(1, 2, 3), keepdims=True)
    ),
}


@pytest.mark.parametrize("between", STOPPING.values(), ids=STOPPING)
def test_where_zeros_would_not_stay_zeros(between):
    def network(net, x):
        return net.conv(between(net.conv(x, 3, 12)), 12, 5)

    count, graph = widened(network, close=True)
    assert count == 0
    assert channels(graph) == [12, 5]


@pytest.mark.parametrize(
    "c_o, wide", [(12, 16), (6, 8), (13, 16), (20, 24), (22, 24), (8, 8), (16, 16), (5, 5), (1, 1)]
)
def test_up_to_a_multiple_of_8_by_at_most_half(c_o, wide):
    count, graph = widened(lambda net, x: net.conv(net.conv(x, 3, c_o), c_o, 2))
    assert channels(graph) == [wide, 2]
    assert count == (wide != c_o)


def test_in_a_row_all_but_the_last():
    def network(net, x):
        for c_i, c_o in ((3, 12), (12, 20), (20, 6), (6, 30)):
            x = relu(net.conv(x, c_i, c_o, 2))
        return x

    count, graph = widened(network)
    assert (count, channels(graph)) == (3, [16, 24, 8, 30])
    assert [graph.value(n.inputs[1]).shape[1] for n in graph.operators("Convolution")] == [
        3,
        16,
        24,
        8,
    ]


def test_a_convolution_without_a_bias():
    count, graph = widened(
        lambda net, x: net.conv(net.conv(x, 3, 12, bias=False), 12, 2, bias=False)
    )
    assert count == 1
    assert all(len(node.inputs) == 2 for node in graph.operators("Convolution"))


def test_outputs_are_not_widened():
    def network(net, x):
        inner = relu(net.conv(x, 3, 12))
        return sym.Group([net.conv(inner, 12, 5), inner])

    count, graph = widened(network)
    assert (count, channels(graph)) == (0, [12, 5])


def test_concatenated_channels_keep_their_places():
    def network(net, x):
        a, b = relu(net.conv(x, 3, 12)), relu(net.conv(x, 3, 6))
        joined = sym.concat(a, x, b, sym.concat(b, a, dim=1), dim=1)
        return net.conv(sym.Pooling(joined, kernel=(2, 2), pool_type="max"), 39, 5, 3)

    count, graph = widened(network)
    assert (count, channels(graph)) == (2, [16, 8, 5])
    assert operators(graph).count("slice_axis") == 0


def test_a_dense_block():
    def network(net, x):
        for c in (3, 15, 27):
            x = sym.concat(x, relu(net.conv(x, c, 12)), dim=1)
        return net.conv(x, 39, 4)

    count, graph = widened(network)
    assert (count, channels(graph)) == (3, [16, 16, 16, 4])


def test_sums_of_two_that_are_widened_alike():
    def network(net, x):
        x = relu(net.conv(x, 3, 12))
        for _ in range(2):
            x = relu(x + net.conv(relu(net.conv(x, 12, 20)), 20, 12))
        return net.conv(x, 12, 3)

    count, graph = widened(network)
    assert (count, channels(graph)) == (5, [16, 24, 16, 24, 16, 3])
    assert "slice_axis" not in operators(graph)


def test_a_sum_with_what_is_not_widened_is_cut():
    def network(net, x):
        return net.conv(relu(net.conv(x, 3, 12) + sym.tile(x, (1, 4, 1, 1))), 12, 3)

    count, graph = widened(network)
    assert operators(graph).count("slice_axis") == count


def test_a_sum_of_channels_in_other_places_is_cut():
    def network(net, x):
        a, b = net.conv(x, 3, 12), net.conv(x, 3, 6)
        return net.conv(a + sym.concat(b, b, dim=1), 12, 3)

    count, graph = widened(network)
    assert count == 2 and operators(graph).count("slice_axis") == 3


def test_depthwise_convolutions_are_widened_with_their_input():
    def network(net, x):
        x = relu(net.conv(x, 3, 12))
        x = relu(net.conv(x, 12, 12, 3, groups=12, pad=(1, 1)))
        return net.conv(x, 12, 5)

    count, graph = widened(network)
    assert (count, channels(graph)) == (1, [16, 16, 5])
    depthwise = graph.operators("Convolution")[1]
    assert depthwise.attributes["num_group"] == "16"


def test_a_depthwise_convolution_of_concatenated_channels():
    def network(net, x):
        a, b = net.conv(x, 3, 12), net.conv(x, 3, 6)
        x = net.conv(sym.concat(a, b, dim=1), 18, 18, 2, groups=18, bias=False)
        return net.conv(x, 18, 4)

    count, graph = widened(network)
    assert (count, channels(graph)) == (2, [16, 8, 24, 4])


def test_other_groups_stop_it():
    def network(net, x):
        x = net.conv(net.conv(x, 3, 12), 12, 12, groups=2)
        return net.conv(x, 12, 4)

    count, graph = widened(network)
    assert (count, channels(graph)) == (0, [12, 12, 4])


def test_transposed_convolutions():
    def network(net, x):
        x = relu(net.deconv(x, 3, 12, stride=(2, 2)))
        x = relu(net.deconv(x, 12, 6, 3, bias=False))
        return net.deconv(net.conv(x, 6, 20), 20, 3)

    count, graph = widened(network)
    assert (count, channels(graph)) == (3, [16, 8, 24, 3])


def test_a_u_net():
    def network(net, x):
        fine = relu(net.conv(x, 3, 12, 3, pad=(1, 1)))
        coarse = sym.Pooling(fine, kernel=(2, 2), stride=(2, 2), pool_type="max")
        coarse = relu(net.conv(coarse, 12, 20, 3, pad=(1, 1)))
        up = sym.UpSampling(coarse, scale=2, sample_type="nearest")
        return net.conv(relu(net.conv(sym.concat(fine, up, dim=1), 32, 12)), 12, 2)

    count, graph = widened(network)
    assert (count, channels(graph)) == (3, [16, 24, 16, 2])
    assert "slice_axis" not in operators(graph)


@pytest.mark.parametrize("layout", [None, "NCHW"])
def test_layouts_of_images(layout):
    count, _ = widened(
        lambda net, x: net.conv(net.conv(x, 3, 12, layout=layout), 12, 2, layout=layout)
    )
    assert count == 1


def test_a_dense_layer_stops_it():
    def network(net, x):
        pooled = sym.Pooling(net.conv(x, 3, 12), kernel=(1, 1), global_pool=True, pool_type="max")
        return sym.FullyConnected(pooled, sym.var("w"), no_bias=True, num_hidden=5)

    net = Net()
    graph = graph_of(network(net, DATA), w=integers((5, 12)), **net.values)
    before = run(graph, nd.ones(SHAPE))
    assert widen_channels(graph, {"data": SHAPE}) == 0
    assert_equal(run(graph, nd.ones(SHAPE)), before)


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_not_other_dtypes(dtype):
    net = Net()
    y = net.conv(net.conv(DATA, 3, 12), 12, 2)
    values = {name: value.astype(dtype) for name, value in net.values.items()}
    assert widen_channels(graph_of(y, dtype, **values), {"data": SHAPE}) == 0


def test_not_parameters_that_are_computed():
    y = sym.Convolution(DATA, sym.var("w") * 2, no_bias=True, kernel=(1, 1), num_filter=12)
    net = Net()
    graph = graph_of(net.conv(y, 12, 2), w=integers((12, 3, 1, 1)), **net.values)
    assert widen_channels(graph, {"data": SHAPE}) == 0


def test_a_weight_of_two_convolutions():
    weight = sym.var("w")
    attributes = dict(no_bias=True, kernel=(1, 1), num_filter=12)
    net = Net()
    y = net.conv(DATA, 3, 12)
    y = sym.Convolution(relu(sym.Convolution(y, weight, **attributes)), weight, **attributes)
    values = dict(net.values, w=integers((12, 12, 1, 1)))
    graph = graph_of(y, **values)
    x = integers(SHAPE, most=2)
    before = run(graph, x)
    assert widen_channels(graph, {"data": SHAPE}) == 2
    assert channels(graph) == [16, 16, 12]
    assert_equal(run(graph, x), before)


def test_networks_of_numpys_operators():
    npx.set_np()
    try:
        net = Net()

        def conv(x, c_i, c_o):
            return net.conv(x.as_nd_ndarray(), c_i, c_o).as_np_ndarray()

        x = DATA.as_np_ndarray()
        a, b = sym.npx.relu(conv(x, 3, 12)), conv(x, 3, 12)
        joined = sym.np.concatenate([a + b, sym.np.clip(b, None, 6)], axis=1)
        y = conv(joined, 24, 5).as_nd_ndarray()
        graph = graph_of(y, **net.values)
        x = integers(SHAPE, most=2)
        before = run(graph, x)
        assert spell_activations(graph) == 1  # the other clip doesn't begin at 0
        assert widen_channels(graph, {"data": SHAPE}) == 2
        assert channels(graph) == [16, 16, 5] and "slice_axis" not in operators(graph)
        assert_equal(run(graph, x), before)
    finally:
        npx.reset_np()

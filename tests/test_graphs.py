"""What was traced is traced again where a layer changes, so that it can still be exported."""

import gc
import json
import threading
from typing import NamedTuple

import mxconv
from helpers import MODES, fill, integers, slow_but
from mxconv import (
    MultiChannelConv2D,
    choose_algorithms,
    convert,
    load_choices,
    set_algorithm,
    set_geometry,
)

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, nd
from mxnet.gluon import nn

pytestmark = pytest.mark.kernels

HYBRIDIZED = {name: flags for name, flags in MODES.items() if flags is not None}
EVERY_MODE = pytest.mark.parametrize("mode", slow_but(HYBRIDIZED, "hybridized"))


def build(mode="hybridized", called=True):
    """Two layers, the second a head that other algorithms are for, and their input."""
    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(
            MultiChannelConv2D(12, 3, padding=1, in_channels=4, algorithm="native"),
            MultiChannelConv2D(2, 3, padding=1, in_channels=12, algorithm="native"),
        )
    net.initialize()
    fill(net)
    x = integers((1, 4, 8, 8))
    net.hybridize(**HYBRIDIZED[mode])
    if called:
        net(x)
    return net, x


def exported(net, path):
    """The operators of the files, and the network that MXNet makes of them."""
    net.export(str(path))
    graph = json.loads((path.parent / f"{path.name}-symbol.json").read_text())
    names = [f"{path}-symbol.json", ["data"], f"{path}-0000.params"]
    return [node["op"] for node in graph["nodes"]], gluon.SymbolBlock.imports(*names)


def measured(net, x, tmp_path):
    choose_algorithms(net, x, measure=True, seconds=0.001, progress=False)


def loaded_choices(net, x, tmp_path):
    path = tmp_path / "tuning.json"
    choose_algorithms(net, x, measure=True, seconds=0.001, path=path, progress=False)
    saved = json.loads(path.read_text())
    for layer in saved["layers"].values():
        layer["algorithm"] = "im2col"
    path.write_text(json.dumps(saved))
    load_choices(net, path)


def by_its_property(net, x, tmp_path):
    net[1].algorithm = "kn2row"


CHANGES = {
    "set_algorithm": lambda net, x, tmp_path: set_algorithm(net, "pad_channels", where=".*conv0"),
    "to auto": lambda net, x, tmp_path: set_algorithm(net, "auto"),
    "the same": lambda net, x, tmp_path: set_algorithm(net, "native"),
    "choose_algorithms": lambda net, x, tmp_path: choose_algorithms(net, x.shape),
    "auto, chosen": lambda net, x, tmp_path: choose_algorithms(set_algorithm(net, "auto"), x.shape),
    "measured": measured,
    "load_choices": loaded_choices,
    "property": by_its_property,
    "set_geometry": lambda net, x, tmp_path: set_geometry(net, strides=2),
}


@pytest.mark.filterwarnings("ignore:Cannot decide type")
@EVERY_MODE
@pytest.mark.parametrize("change", sorted(CHANGES))
def test_export_works_after_whatever_it_worked_before(change, mode, tmp_path):
    net, x = build(mode)
    CHANGES[change](net, x, tmp_path)
    _, imported = exported(net, tmp_path / "net")
    assert len(imported.collect_params().keys()) == 4
    assert np.array_equal(imported(x).asnumpy(), net(x).asnumpy())
    net.hybridize(False)
    assert np.array_equal(imported(x).asnumpy(), net(x).asnumpy())


@pytest.mark.filterwarnings("ignore:Cannot decide type")
@EVERY_MODE
@pytest.mark.parametrize("name, value", [("algorithm", "im2col"), ("strides", 2), ("dilation", 2)])
def test_a_lone_layer_can_be_exported_after_it_was_changed(name, value, mode, tmp_path):
    layer = build(mode)[0][0]
    x = integers((1, 4, 8, 8))
    layer(x)
    setattr(layer, name, value)
    _, imported = exported(layer, tmp_path / "layer")
    assert np.array_equal(imported(x).asnumpy(), layer(x).asnumpy())


@pytest.mark.filterwarnings("ignore:Cannot decide type")
def test_the_file_holds_the_algorithm_that_was_set_last(tmp_path):
    net, _ = build()
    assert exported(net, tmp_path / "native")[0].count("Deconvolution") == 0
    set_algorithm(net, "kn2row", where=".*conv1")
    assert exported(net, tmp_path / "kn2row")[0].count("Deconvolution") == 1


@pytest.mark.parametrize("change", ["the same", "choose_algorithms"])
def test_nothing_is_traced_again_where_nothing_changed(change, tmp_path):
    net, x = build()
    before = net._cached_op
    CHANGES[change](net, x, tmp_path)
    assert net._cached_op is before


def test_asking_for_auto_again_keeps_what_was_chosen(monkeypatch):
    """The rule's choice is put in, since it depends on the CPU."""
    monkeypatch.setattr(mxconv._adjustable, "predict", lambda *_: "im2col")
    net, x = build()
    choose_algorithms(set_algorithm(net, "auto"), x.shape)
    before = net._cached_op
    set_algorithm(net, "auto")
    net[0].algorithm = "auto"
    choose_algorithms(net, x.shape)
    assert net._cached_op is before and net[0].chosen_algorithm == "im2col"
    set_algorithm(net, "native")
    assert net._cached_op is not before


def test_a_network_that_was_not_called_has_no_graph_and_gets_none():
    net, _ = build(called=False)
    set_algorithm(net, "im2col")
    assert net._cached_op is None
    with pytest.raises(RuntimeError, match="Please first call block.hybridize"):
        net.export("nowhere")


def test_a_graph_that_was_given_up_stays_so():
    net, _ = build()
    net.hybridize(False)
    set_algorithm(net, "im2col")
    assert net._cached_op is None and not net._cached_graph


class Above(gluon.HybridBlock):
    """An image, a list of images and None, some of which go through an inner network."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def hybrid_forward(self, F, x, others, nothing):
        assert nothing is None
        return self.inner(x), [self.inner(others[0]) + others[1]]


@EVERY_MODE
def test_blocks_above_the_one_that_was_given_are_traced_again(mode):
    inner, x = build(mode)
    above = Above(inner)
    above.hybridize(**HYBRIDIZED[mode])
    arguments = x, [x + 1, nd.ones((1, 2, 8, 8))], None
    y, (z,) = above(*arguments)
    before = above._cached_op
    set_algorithm(inner, "im2col")
    assert above._cached_op is not None and above._cached_op is not before
    again = above._cached_op
    y2, (z2,) = above(*arguments)
    assert above._cached_op is again  # the call has nothing to trace
    assert np.array_equal(y.asnumpy(), y2.asnumpy()) and np.array_equal(z.asnumpy(), z2.asnumpy())
    inner[1].strides = 2
    y3, _ = inner(x), None
    assert y3.shape == (1, 2, 4, 4)


def test_a_layer_forgets_blocks_that_are_gone():
    layer = build()[0][0]
    for _ in range(3):
        net = nn.HybridSequential()
        net.add(layer)
        net.hybridize()
        net(nd.ones((1, 4, 8, 8)))
        del net
    gc.collect()
    assert len(layer.holders) == 1  # Gluon itself keeps the last, as the scope of its names


def test_what_cannot_be_traced_now_is_left_to_the_next_call():
    """The chapter's own functions make a graph of 2304 taps here, and are refused for 4608."""
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(32, 3, in_channels=16, algorithm="native"))
    net.initialize()
    net.hybridize()
    x = nd.ones((1, 16, 5, 5))
    net(x)
    set_algorithm(net, "definition")
    with pytest.raises(ValueError, match="4608 taps"):
        net(x)
    with pytest.raises(RuntimeError, match="Please first call block.hybridize"):
        net.export("nowhere")
    set_algorithm(net, "im2col")
    assert net(x).shape == (1, 32, 3, 3)


def test_fused_operators_are_fused_again():
    net, x = build()
    net.optimize_for(x, backend="MKLDNN", static_alloc=True, static_shape=True)
    y = net(x)
    set_algorithm(net, "pad_channels", where=".*conv0")
    ops = [node["op"] for node in json.loads(net._cached_graph[1].tojson())["nodes"]]
    assert ops.count("_sg_mkldnn_conv") == 2 and "Convolution" not in ops
    assert np.array_equal(net(x).asnumpy(), y.asnumpy())


def test_a_network_that_was_optimized_for_a_symbol():
    """Of which there is no array to be called with: it is traced at the next call."""
    net = build(called=False)[0]
    net.optimize_for(mx.sym.var("data", shape=(1, 4, 8, 8)), backend="MKLDNN")
    x = integers((1, 4, 8, 8))
    y = net(x)
    set_algorithm(net, "im2col")
    np.testing.assert_allclose(net(x).asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-3)


class Pair(NamedTuple):
    one: object
    other: object


class TakesPair(gluon.HybridBlock):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def hybrid_forward(self, F, pair):
        return self.inner(pair[0]) + self.inner(pair[1])


def test_a_named_tuple_of_arrays():
    inner, x = build()
    net = TakesPair(inner)
    net.hybridize()
    y = net(Pair(x, x + 1))
    before = net._cached_op
    set_algorithm(inner, "im2col")
    assert net._cached_op not in (None, before)
    assert np.array_equal(net(Pair(x, x + 1)).asnumpy(), y.asnumpy())


@pytest.mark.parametrize("traced, changed", [(True, False), (False, True)])
def test_numpy_mode_is_that_of_the_trace(traced, changed):
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(3, 3, strides=2, in_channels=2))
    net.initialize()
    net.hybridize()
    kind = mx.np if traced else mx.nd

    def mode(on):
        mx.npx.set_np() if on else mx.npx.reset_np()

    try:
        mode(traced)
        net(kind.ones((1, 2, 5, 5)))
        mode(changed)
        net[0].strides = 1
        assert net._cached_op is not None
        mode(traced)
        y = net(kind.ones((1, 2, 5, 5)))
        assert y.shape == (1, 3, 3, 3)
        assert type(y) is (mx.np.ndarray if traced else mx.nd.NDArray)
    finally:
        mx.npx.reset_np()


def test_a_setter_after_an_edit_of_kwargs_refreshes_what_is_stale():
    net, x = build()
    assert net(x).shape == (1, 2, 8, 8)
    net[1]._kwargs["stride"] = (2, 2)
    net[1].strides = 2
    assert net(x).shape == (1, 2, 4, 4)


def test_a_layer_survives_a_change_while_threads_call_it():
    layer = build()[0][0]
    x = integers((1, 4, 8, 8))
    layer.hybridize(static_alloc=True)
    right = layer(x).asnumpy()
    end = threading.Event()
    wrong = []

    def call():
        while not end.is_set():
            try:
                if not np.array_equal(layer(x).asnumpy(), right):
                    wrong.append("values")
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(60):
        layer.algorithm = ("im2col", "native")[i % 2]
    end.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert np.array_equal(layer(x).asnumpy(), right)


def test_deferred_channels_and_a_first_call_in_a_hybridized_network(tmp_path):
    net = nn.HybridSequential()
    net.add(MultiChannelConv2D(12, 3, padding=1), MultiChannelConv2D(3, 3, padding=1))
    net.initialize()
    fill_later = integers((1, 5, 8, 8))
    net.hybridize()
    y = net(fill_later)
    for name in ("pad_channels", "kn2row", "im2col"):
        set_algorithm(net, name)
        np.testing.assert_allclose(net(fill_later).asnumpy(), y.asnumpy(), rtol=1e-4, atol=1e-5)


def test_networks_of_np_arrays():
    mx.npx.set_np()
    try:
        net = nn.HybridSequential()
        net.add(MultiChannelConv2D(3, 3, in_channels=2, algorithm="native"))
        net.initialize()
        net.hybridize()
        x = mx.np.ones((1, 2, 5, 5))
        y = net(x)
        set_algorithm(net, "im2col")
        assert net._cached_op is not None
        assert type(net(x)) is mx.np.ndarray
        np.testing.assert_allclose(net(x).asnumpy(), y.asnumpy(), rtol=1e-5)
    finally:
        mx.npx.reset_np()


@pytest.mark.filterwarnings("ignore:Cannot decide type")
def test_a_network_that_was_converted_after_it_was_traced(tmp_path):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(3, 3, in_channels=2))
    net.initialize()
    net.hybridize()
    x = nd.ones((1, 2, 5, 5))
    y = net(x)
    convert(net)
    net(x)
    set_algorithm(net, "im2col")
    assert np.allclose(exported(net, tmp_path / "net")[1](x).asnumpy(), y.asnumpy(), rtol=1e-5)

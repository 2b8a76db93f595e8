"""Strides, padding and dilation of a built layer: set in public, or edited as people do."""

import copy

from helpers import EVERY_MODE, fill, hybridize, integers, run
from mxconv import ConvGeometry, MultiChannelConv2D, convert, revert, set_geometry

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision

pytestmark = pytest.mark.kernels

X = (2, 4, 12, 11)


def build(algorithm="native", **arguments):
    layer = MultiChannelConv2D(6, 3, in_channels=4, algorithm=algorithm, **arguments)
    layer.initialize()
    fill(layer)
    return layer


def twin(layer, **arguments):
    """A layer that was built so, with the same parameters."""
    other = build(layer.algorithm, **arguments)
    for ours, theirs in zip(other.params.values(), layer.params.values()):
        ours.set_data(theirs.data())
    return other


CHANGES = [
    (dict(strides=2, padding=1), dict(strides=1)),
    (dict(strides=2, padding=1), dict(strides=(1, 2))),
    (dict(padding=1), dict(padding=0)),
    (dict(), dict(padding=((0, 1), (2, 1)))),
    (dict(padding=((0, 1), (2, 1))), dict(padding=2)),
    (dict(padding=1, padding_mode="reflect"), dict(padding=2)),
    (dict(padding=1), dict(dilation=2)),
    (dict(dilation=2, padding=2), dict(dilation=(1, 2))),
]
EVERY_CHANGE = pytest.mark.parametrize("before, change", CHANGES, ids=str)


@EVERY_CHANGE
@EVERY_MODE
@pytest.mark.parametrize("algorithm", ["auto", "native", "im2col"])
def test_a_layer_that_was_changed_is_one_that_was_built_so(algorithm, mode, before, change):
    x = integers(X)
    layer = build(algorithm, **before)
    hybridize(layer, mode)
    layer(x)
    for name, value in change.items():
        setattr(layer, name, value)
    expected = twin(layer, **{**before, **change})
    assert layer.geometry == expected.geometry
    for name in ("strides", "padding", "dilation"):
        assert getattr(layer, name) == getattr(expected.geometry, name)
    for ours, theirs in zip(run(layer, x), run(expected, x)):
        np.testing.assert_array_equal(ours, theirs)
    assert repr(layer) == repr(expected)


EDITS = [
    ("stride", (1, 1), dict(strides=1)),
    ("stride", [1, 2], dict(strides=(1, 2))),
    ("pad", (2, 2), dict(padding=2)),
    ("dilate", (2, 2), dict(dilation=2)),
    ("dilate", 2, dict(dilation=2)),
]


@pytest.mark.parametrize("name, value, same_as", EDITS, ids=str)
@pytest.mark.parametrize("when", ["before a call", "after a call", "after convert"])
@EVERY_MODE
def test_edits_of_kwargs_count(mode, when, name, value, same_as):
    before = dict(strides=2, padding=1)
    x = integers(X)
    if when == "after convert":
        layer = nn.Conv2D(6, 3, in_channels=4, **before)
        layer.initialize()
        convert(layer, algorithm="native")
    else:
        layer = build(**before)
    hybridize(layer, mode)
    if when == "after a call":
        layer(x)
    layer._kwargs[name] = value
    expected = twin(layer, **{**before, **same_as})
    for ours, theirs in zip(run(layer, x), run(expected, x)):
        np.testing.assert_array_equal(ours, theirs)
    assert layer.geometry == expected.geometry and repr(layer) == repr(expected)
    assert copy.deepcopy(build(**before)).geometry.strides == (2, 2)


def test_an_edit_in_a_network_counts_at_its_next_trace():
    net = nn.HybridSequential()
    net.add(build(strides=2))
    x = nd.ones(X)
    assert net(x).shape == (2, 6, 5, 5)
    net[0]._kwargs["stride"] = (1, 1)
    net.hybridize()
    assert net(x).shape == (2, 6, 10, 9)
    stock = revert(net)[0]
    assert stock._kwargs["stride"] == (1, 1) and net(x).shape == (2, 6, 10, 9)


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("stride", 0, r"strides is out of range: expected an integer >= 1, received strides=0"),
        ("stride", (1, "2"), r"strides has the wrong type"),
        ("dilate", (0, 1), r"dilation is out of range"),
        ("pad", (-1, 0), r"padding is out of range"),
        ("kernel", (5, 5), r"_kwargs no longer fits the weight.*kernel.*\(5, 5\)"),
        ("num_filter", 7, r"_kwargs no longer fits the weight"),
        ("num_group", 2, r"_kwargs no longer fits the weight"),
    ],
)
def test_an_edit_that_cannot_be_is_refused_at_the_call(name, value, says):
    layer, x = build(), nd.ones(X)
    layer(x)
    layer._kwargs[name] = value
    for use in (lambda: layer(x), lambda: layer(mx.sym.var("data")), lambda: layer.geometry):
        with pytest.raises((TypeError, ValueError), match=says):
            use()
    repr(layer)


@pytest.mark.parametrize(
    "name, value, error, says",
    [
        ("strides", 0, ValueError, r"strides is out of range.*received strides=0"),
        ("strides", 1.5, TypeError, r"strides has the wrong type.*received strides=1.5"),
        ("strides", (1, 1, 1), ValueError, r"strides has the wrong length"),
        ("padding", -1, ValueError, r"padding is out of range"),
        ("padding", "sme", ValueError, r"padding is unknown.*received padding='sme'"),
        ("dilation", None, TypeError, r"dilation has the wrong type"),
    ],
)
def test_a_value_that_cannot_be_is_refused_where_it_is_set(name, value, error, says):
    layer = build()
    before = layer.geometry
    with pytest.raises(error, match=says):
        setattr(layer, name, value)
    assert layer.geometry == before and layer(nd.ones(X)).shape == (2, 6, 10, 9)


def test_a_change_that_the_algorithm_does_not_support_is_refused_and_nothing_changes():
    layer = build("kn2row")
    with pytest.raises(ValueError, match="algorithm='kn2row' doesn't support strides other than 1"):
        layer.strides = 2
    assert layer.strides == (1, 1) and layer(nd.ones(X)).shape == (2, 6, 10, 9)
    net = nn.HybridSequential()
    net.add(build(), layer)
    with pytest.raises(
        ValueError, match=rf"{layer.name}: .*'kn2row' doesn't support strides.*as it was"
    ):
        set_geometry(net, strides=2)
    assert net[0].strides == (1, 1)
    net[0].strides = 2
    with pytest.raises(ValueError, match=rf"{net[0].name}: padding='same' expects strides of 1"):
        set_geometry(net, padding="same")


def test_same_is_for_the_new_dilation():
    layer = build(padding="same")
    set_geometry(layer, padding="same", dilation=3)
    assert layer.geometry == ConvGeometry(6, 3, padding=3, dilation=3, in_channels=4)


def test_a_layer_waiting_for_its_channels_can_be_changed():
    layer = MultiChannelConv2D(6, 3, strides=2)
    layer.strides = 1
    layer.initialize()
    assert layer(nd.ones(X)).shape == (2, 6, 10, 9)


@EVERY_MODE
def test_a_backbone_with_output_stride_8_computes_what_it_did_and_what_is_between(mode):
    """The two lines of docs/migration.md, on a ResNet whose strides are in its 1x1 layers."""
    net = convert(vision.resnet50_v1(classes=4)).features[:8]  # without pooling
    mx.random.seed(3)
    net.initialize(mx.init.Xavier())
    x = nd.random.normal(shape=(1, 3, 64, 64))
    coarse = net(x)
    assert coarse.shape == (1, 2048, 2, 2)
    hybridize(net, mode)
    net(x)
    set_geometry(net, where=".*stage3.*", strides=1, padding="same", dilation=2)
    set_geometry(net, where=".*stage4.*", strides=1, padding="same", dilation=4)
    fine = net(x)
    assert fine.shape == (1, 2048, 8, 8)
    scale = float(coarse.abs().max().asscalar())
    assert scale > 0
    np.testing.assert_allclose(
        fine[:, :, ::4, ::4].asnumpy(), coarse.asnumpy(), rtol=1e-4, atol=5e-5 * scale
    )


def test_a_backbone_with_its_strides_in_3x3_layers():
    """As docs/migration.md has it: that layer keeps the dilation from before the stage."""
    net = convert(vision.resnet18_v1(classes=4)).features[:8]
    mx.random.seed(3)
    net.initialize(mx.init.Xavier())
    x = nd.random.normal(shape=(1, 3, 64, 64))
    coarse = net(x)
    for stage, before in ((3, 1), (4, 2)):
        where = f".*stage{stage}.*"
        set_geometry(net, where, strides=1, padding="same", dilation=2 * before)
        set_geometry(net, f".*stage{stage}_conv0", padding="same", dilation=before)
    fine = net(x)
    assert fine.shape == (1, 512, 8, 8)
    scale = float(coarse.abs().max().asscalar())
    np.testing.assert_allclose(
        fine[:, :, ::4, ::4].asnumpy(), coarse.asnumpy(), rtol=1e-4, atol=5e-5 * scale
    )

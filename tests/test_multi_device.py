"""Training on several devices equals training on one; CPU contexts play the devices."""

import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
import digits  # noqa: E402
import digits_multi_device  # noqa: E402
from mxconv import MultiChannelConv2D  # noqa: E402

EPOCHS, IMAGES = 2, 320
GPUS = [mx.gpu(i) for i in range(mx.context.num_gpus())]


@pytest.fixture(scope="module")
def data():
    return [array[:IMAGES] for array in digits.load()[0]]


@pytest.mark.parametrize(
    "contexts",
    [[mx.cpu(0)], [mx.cpu(i) for i in range(2)], [mx.cpu(i) for i in range(3)]]
    + [GPUS] * bool(GPUS),
    ids=str,
)
def test_several_devices_train_like_one(contexts, data):
    net, alone = digits.lenet(MultiChannelConv2D), digits.lenet(MultiChannelConv2D)
    losses = digits_multi_device.train(net, data, contexts, EPOCHS)
    expected = digits.train(alone, data, EPOCHS)
    assert digits_multi_device.replicas_differ(net) == 0
    tolerance = digits_multi_device.TOLERANCE if contexts != GPUS else 1e-3  # cuDNN's
    np.testing.assert_allclose(losses, expected, rtol=tolerance)
    assert digits_multi_device.weights_differ(net, alone) <= tolerance


def test_all_gpus_are_used_or_two_contexts_without_any():
    assert digits_multi_device.devices() == (GPUS or [mx.cpu(0), mx.cpu(1)])


def test_a_difference_between_replicas_or_networks_is_noticed(data):
    net, other = digits.lenet(MultiChannelConv2D), digits.lenet(MultiChannelConv2D)
    contexts = [mx.cpu(0), mx.cpu(1)]
    for network in (net, other):
        digits_multi_device.train(network, data, contexts, epochs=1)
    assert digits_multi_device.weights_differ(net, other) == 0
    bias = net[0].bias
    bias.data(contexts[1])[3] += 0.5
    assert digits_multi_device.replicas_differ(net) == pytest.approx(0.5)
    bias.data(contexts[0])[3] += 0.5
    assert digits_multi_device.replicas_differ(net) == 0
    assert digits_multi_device.weights_differ(net, other) == pytest.approx(0.5)

"""Load tests: threads, forked workers, ten thousand calls, two hundred changes.

Each runs in a process of its own: a crash or a hang there is a failure here, and the memory that is
measured is its own. The data are integers, so results are compared exactly.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import oracle
from helpers import MODES, SLOW, fill, hybridize, integers
from mxconv import MultiChannelConv2D, convert, set_algorithm

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import data, nn

LIMIT = 240  # seconds after which a process counts as hanging
THREADS = 4
FLAT = 8 << 10  # KiB by which the peak of memory may rise in the second half, for other objects
ON_LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="needs Linux: the peak of memory is in /proc/self/status"
)


def in_process(function, *arguments, **environment):
    """The result of a function of this module that runs in a process of its own."""
    code = f"test_load.{function.__name__}(*{arguments})"
    code = f"import json, mxconv, test_load; print(json.dumps({code}))"
    path = os.pathsep.join(filter(None, sys.path))
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def peak():
    """The peak memory of this process, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


# threads


def at_once(block, inputs, expected, calls):
    """Call a block from several threads that start together: what goes wrong, as texts."""
    wrong, start = [], threading.Barrier(THREADS)

    def work(seed):
        order = np.random.RandomState(seed).randint(len(inputs), size=calls)
        start.wait()
        for i in order:
            try:
                y = block(inputs[i]).asnumpy()
            except BaseException as error:
                wrong.append(repr(error))
            else:
                if not np.array_equal(y, expected[i]):
                    wrong.append(f"input {i}: {y.shape}, expected {expected[i].shape}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def threads_with_a_layer(mode):
    """Threads use different shapes on different contexts at the same time."""
    sys.setswitchinterval(1e-5)
    layer = MultiChannelConv2D(3, 3, in_channels=4)
    layer.initialize(ctx=[mx.cpu(0), mx.cpu(1)])
    fill(layer)
    hybridize(layer, mode)
    inputs = [integers((1 + i % 3, 4, 5 + i, 6 + 2 * i), mx.cpu(i % 2)) for i in range(8)]
    arrays = layer.weight.data(mx.cpu(0)).asnumpy(), layer.bias.data(mx.cpu(0)).asnumpy()
    expected = [oracle.convolve(x.asnumpy(), *arrays) for x in inputs]
    layer(inputs[0])
    return at_once(layer, inputs, expected, 150)


def threads_with_a_network(mode):
    sys.setswitchinterval(1e-5)
    net = nn.HybridSequential()
    net.add(nn.Conv2D(12, 3, padding=1, activation="relu"), nn.Conv2D(2, 3), nn.MaxPool2D())
    net.initialize()
    inputs = [integers((1 + i % 2, 3, 8 + i, 9)) for i in range(6)]
    net(inputs[0])
    fill(net)
    expected = [net(x).asnumpy() for x in inputs]
    hybridize(convert(net), mode)
    net(inputs[0])
    return at_once(net, inputs, expected, 100)


def threads_that_call_first(mode, in_channels):
    """Threads find a layer that isn't checked or traced and, if deferred, not initialized."""
    sys.setswitchinterval(1e-6)
    weight = integers((2, 64, 3, 3))
    inputs = [integers((1, 64, 48, 48 + i)) for i in range(4)]  # 'auto' takes 'kn2row'
    expected = [oracle.convolve(x.asnumpy(), weight.asnumpy()) for x in inputs]
    wrong = []
    for _ in range(15):
        layer = MultiChannelConv2D(2, 3, in_channels=in_channels)
        layer.initialize()
        layer.weight.set_data(weight)
        hybridize(layer, mode)
        wrong += at_once(layer, inputs, expected, 3)
    return wrong


@pytest.mark.parametrize(
    "function, mode",
    [
        (threads_with_a_layer, "eager"),
        pytest.param(threads_with_a_layer, "hybridized", marks=SLOW),
        pytest.param(threads_with_a_network, "eager", marks=SLOW),
    ],
)
def test_threads(function, mode):
    """Not with a hybridized network: Gluon calls its graph, which only one thread may do."""
    assert in_process(function, mode) == []


@pytest.mark.slow
@pytest.mark.parametrize("mode, in_channels", [("eager", 0), ("hybridized", 64)])
def test_threads_that_call_first(mode, in_channels):
    """Not with a hybridized parent: Gluon needs one call of it before threads call it."""
    assert in_process(threads_that_call_first, mode, in_channels) == []


# forked workers


def workers(mode):
    """The layer transforms examples in forked workers, then batches in this process."""
    layer = MultiChannelConv2D(2, 3, in_channels=3)
    layer.initialize()
    fill(layer)
    hybridize(layer, mode)
    x = integers((12, 3, 6, 6))
    arrays = layer.weight.data().asnumpy(), layer.bias.data().asnumpy()
    expected = oracle.convolve(x.asnumpy(), *arrays)
    layer(x)  # starts MXNet's threads, which a forked process doesn't have
    examples = data.SimpleDataset(list(x)).transform(lambda x: (x, layer(x.expand_dims(0))[0]))
    loader = data.DataLoader(examples, batch_size=3, num_workers=2, thread_pool=False)
    wrong = []
    for epoch in range(2):
        for i, (batch, transformed) in enumerate(loader):
            for y in (layer(batch), transformed):
                if not np.array_equal(y.asnumpy(), expected[3 * i : 3 * i + 3]):
                    wrong.append([epoch, i])
    return [i, wrong]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["eager", "hybridized"])
def test_forked_workers(mode):
    assert in_process(workers, mode) == [3, []]


# ten thousand calls


def calls(mode, algorithm, shapes):
    """The peaks of memory after each half of the calls, and whether the last output is right."""
    layer = MultiChannelConv2D(3, 3, in_channels=2, algorithm=algorithm)
    layer.initialize()
    fill(layer)
    hybridize(layer, mode)
    order = np.random.RandomState(7).permutation(shapes)
    peaks = []
    for count in (5000, 5000):
        for i in range(len(peaks) * count, len(peaks) * count + count):
            h, w = divmod(order[i % shapes], 100)
            y = layer(nd.ones((1, 2, 3 + h, 3 + w)))
            y.wait_to_read()
        peaks.append(peak())
    sums = layer.weight.data().sum(axis=(1, 2, 3)) + layer.bias.data()
    return peaks, bool((y == sums.reshape((1, 3, 1, 1))).min().asscalar())


@pytest.mark.slow
@ON_LINUX
@pytest.mark.parametrize("mode, algorithm", [("eager", "native"), ("hybridized", "auto")])
def test_ten_thousand_calls(mode, algorithm):
    (half, whole), right = in_process(calls, mode, algorithm, 200)
    assert right and whole - half < FLAT


@pytest.mark.slow
@ON_LINUX
def test_ten_thousand_shapes():
    """MXNet's operator keeps what oneDNN compiles for each shape, unless the number is limited."""
    (half, whole), right = in_process(calls, "eager", "native", 10000, MXNET_MKLDNN_CACHE_NUM="16")
    assert right and whole - half < 2 * FLAT


# two hundred changes


def changes():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 2, padding=1), nn.Conv2D(2, 2, groups=2), nn.Conv2D(4, 1, strides=2))
    net.initialize()
    x = integers((2, 2, 9, 8))
    net(x)
    fill(net)
    expected = net(x).asnumpy()
    convert(net)
    parameters = list(net.collect_params().values())
    arrays = [parameter.data() for parameter in parameters]
    wrong, peaks = [], []
    for i in range(200):
        if i % 2:
            mode = sorted(MODES)[i // 2 % 4]
            net.hybridize(mode != "eager", **(MODES[mode] or {}))
        else:
            name = ("native", "im2col", "auto", "depth_to_space", "definition")[i // 2 % 5]
            ungrouped = (
                None if name != "depth_to_space" else lambda layer: layer.geometry.groups == 1
            )
            set_algorithm(net, name, ungrouped)
        if not np.array_equal(net(x).asnumpy(), expected):
            wrong.append(i)
        if i in (99, 199):
            peaks.append(peak())
    same = all(a is b for a, b in zip(net.collect_params().values(), parameters)) and all(
        a is parameter.data() for a, parameter in zip(arrays, parameters)
    )
    return wrong, same, peaks


@pytest.mark.slow
@ON_LINUX
def test_two_hundred_changes():
    wrong, same, (half, whole) = in_process(changes)
    assert wrong == [] and same
    assert whole - half < FLAT

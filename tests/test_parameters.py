"""Parameter files: Gluon's format, damaged and foreign files, full disks, killed processes.

And, at the end, layers too large for memory.
"""

import contextlib
import os
import signal
import struct
import subprocess
import sys
import time
import tracemalloc

from helpers import assert_same, fill, integers, values
from mxconv import MultiChannelConv2D, convert
from mxconv.files.parameters import load_parameters, save_parameters

import mxnet as mx
import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn

LIMIT = 60  # seconds after which a process counts as hanging
LAYER = dict(channels=2, kernel_size=3, in_channels=4)
ON_LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="needs Linux: RLIMIT_FSIZE as a disk that is full"
)


def network(conv=MultiChannelConv2D, classes=3, dtype="float32", **arguments):
    net = nn.HybridSequential()
    net.add(conv(**{**LAYER, **arguments}), nn.BatchNorm(in_channels=2))
    net.add(nn.Dense(classes, in_units=18))
    net.cast(dtype)
    net.initialize(mx.init.Normal())
    return net


@contextlib.contextmanager
def room_for(size):
    """A disk that is full after `size` bytes of a file; Python ignores the signal for that."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Gluon's format


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_the_files_are_gluons(dtype, tmp_path):
    net, theirs, ours = network(dtype=dtype), tmp_path / "theirs.params", tmp_path / "ours.params"
    net.save_parameters(str(theirs))
    save_parameters(net, ours)
    assert ours.read_bytes() == theirs.read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["ours.params", "theirs.params"]
    twin = network(nn.Conv2D, dtype=dtype)
    twin.load_parameters(str(ours))
    assert_same(twin, values(net))
    third = network(in_channels=0, dtype=dtype)
    assert load_parameters(third, str(theirs)) is third
    assert_same(third, values(net))


def test_files_in_numpy_mode(tmp_path):
    path, stock = tmp_path / "net.params", tmp_path / "stock.params"
    legacy = network()
    mx.npx.set_np()
    try:
        net = network()
        net.save_parameters(str(stock))
        save_parameters(net, path)
        assert path.read_bytes() == stock.read_bytes()
        expected = values(net)
        assert_same(load_parameters(network(), path), expected)
        assert type(net[0].weight.data()) is mx.np.ndarray
    finally:
        mx.npx.reset_np()
    assert_same(load_parameters(legacy, path), expected)


def test_files_of_lone_layers_with_bfloat16_and_shared_parameters(tmp_path):
    path = tmp_path / "layer.params"
    layer = MultiChannelConv2D(dtype="bfloat16", **LAYER)
    layer.initialize()
    save_parameters(layer, path)
    twin = load_parameters(MultiChannelConv2D(2, 3, dtype="bfloat16"), path)
    assert_same(twin, values(layer))
    pair = nn.HybridSequential()
    pair.add(MultiChannelConv2D(4, 1, in_channels=4))
    pair.add(MultiChannelConv2D(4, 1, in_channels=4, params=pair[0].params))
    pair.initialize()
    expected = values(pair)
    for deduplicate in (False, True):
        pair.save_parameters(str(path), deduplicate=deduplicate)
        fill(pair)
        assert_same(load_parameters(pair, path), expected)


def test_a_file_of_nn_conv2d_loads_into_ours_and_back(tmp_path):
    path, x = tmp_path / "net.params", integers((2, 4, 5, 5))
    stock = network(nn.Conv2D)
    stock.save_parameters(str(path))
    ours = load_parameters(convert(network(nn.Conv2D)), path)
    assert np.array_equal(ours(x).asnumpy(), stock(x).asnumpy())
    fill(ours)
    save_parameters(ours, path)
    stock.load_parameters(str(path))
    assert_same(stock, values(ours))


def test_contexts(tmp_path, ctx):
    path, net = tmp_path / "net.params", network()
    save_parameters(net, path)
    twin = MultiChannelConv2D(**LAYER)
    save_parameters(net[0], path)
    load_parameters(twin, path, ctx=ctx)
    assert twin.weight.list_ctx() == [ctx]
    load_parameters(twin, path)
    load_parameters(twin, path, ctx=[ctx])
    fill(twin)
    before = twin.weight.data().asnumpy()
    with pytest.raises(
        ValueError, match=r"'weight': expected its present contexts \[.*received ctx=\[cpu\(7\)\]"
    ):
        load_parameters(twin, path, ctx=mx.cpu(7))
    assert np.array_equal(twin.weight.data().asnumpy(), before)


# Damaged and foreign files


def test_a_truncated_file_changes_nothing(tmp_path):
    net, path = network(), tmp_path / "net.params"
    save_parameters(net, path)
    whole = path.read_bytes()
    fill(net)
    before = values(net)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is damaged or of another kind"):
            load_parameters(net, path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="is damaged or of another kind"):
        load_parameters(net, path)
    assert_same(net, before)


def test_a_flipped_bit_is_rejected_or_in_a_number(tmp_path):
    """Of all other bytes, only the reserved ones and those of the device may differ."""
    net, path = MultiChannelConv2D(**LAYER), tmp_path / "net.params"
    net.initialize()
    save_parameters(net, path)
    whole = path.read_bytes()
    numbers = sum(value.nbytes for value in values(net).values())
    read = []
    for at in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 << at % 8
        path.write_bytes(spoilt)
        try:
            load_parameters(net, path)
            read.append(at)
        except ValueError as error:
            assert str(path) in str(error)
    assert len(read) == numbers + 8 + 2 * 8  # reserved; kind and number of a device, twice


@pytest.mark.parametrize("power", [8, 20, 31, 33, 40, 62, 63])
def test_absurd_sizes_are_rejected_before_the_allocation(power, tmp_path):
    """A damaged size can make MXNet's own reader allocate gigabytes before it fails."""
    net, path = network(), tmp_path / "net.params"
    save_parameters(net, path)
    whole, before = path.read_bytes(), values(net)
    name = whole.index(b"0.weight")
    for at, form in ((16, "<Q"), (32, "<I"), (36, "<Q"), (60, "<Q"), (name - 16, "<Q")):
        if form == "<I" and power > 31:
            continue
        spoilt = bytearray(whole)
        struct.pack_into(form, spoilt, at, 1 << power)
        path.write_bytes(spoilt)
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match="is damaged or of another kind"):
                load_parameters(net, path)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
    assert_same(net, before)


def other_files(path):
    """Writes files of other kinds, and yields what the error has to say."""
    path.write_bytes(b"")
    yield "damaged or of another kind"
    path.write_bytes(np.random.bytes(5000))
    yield "damaged or of another kind: expected the number 0x112, which begins a file, received 0x"
    np.save(str(path), np.ones(3))
    os.replace(f"{path}.npy", str(path))
    yield "damaged or of another kind: expected the number 0x112, which begins a file, received 0x"
    nd.save(str(path), [nd.ones(3)])
    yield "expected 1 different names, received 0 names"
    nd.save(str(path), {"0.weight": nd.ones((3, 3)).tostype("row_sparse")})
    yield r"'0.weight': expected the shape \(2, 4, 3, 3\), received \(3, 3\)"
    network(in_channels=5).save_parameters(str(path))
    yield r"'0.weight': expected the shape \(2, 4, 3, 3\), received \(2, 5, 3, 3\)"
    network(classes=4).save_parameters(str(path))  # whose convolution would fit
    yield r"'2.weight': expected the shape \(3, 18\), received \(4, 18\)"
    network(use_bias=False).save_parameters(str(path))
    yield "'0.bias': the file has no such parameter"
    longer = network()
    longer.add(nn.Dense(2, in_units=3))
    longer[3].initialize()
    longer.save_parameters(str(path))
    yield "'3.weight': the network has no such parameter"
    network(dtype="float64").save_parameters(str(path))
    yield r"'0.weight': expected float32, received float64; call net.cast\('float64'\) first"
    network()[2].save_parameters(str(path))
    yield "'weight': the network has no such parameter"


def test_a_foreign_file_changes_nothing(tmp_path):
    net, path = network(), tmp_path / "net.params"
    before = values(net)
    for says in other_files(path):
        with pytest.raises(ValueError, match=says) as caught:
            load_parameters(net, path)
        assert str(path) in str(caught.value)
        assert_same(net, before)


def test_what_is_missing_and_extra_may_be(tmp_path):
    path, fewer, more = tmp_path / "net.params", network(use_bias=False), network()
    save_parameters(fewer, path)
    bias = more[0].bias.data().asnumpy()
    load_parameters(more, path, allow_missing=True)
    assert_same(more, {**values(fewer), "0.bias": bias})
    fill(more)
    save_parameters(more, path)
    expected = values(more)
    del expected["0.bias"]
    assert_same(load_parameters(fewer, path, ignore_extra=True), expected)


@pytest.mark.parametrize("function", [save_parameters, load_parameters])
def test_bad_arguments(function, tmp_path):
    net = network()
    with pytest.raises(TypeError, match="net has the wrong type"):
        function(None, tmp_path / "net.params")
    with pytest.raises(TypeError, match="path has the wrong type"):
        function(net, 3)
    with pytest.raises(ValueError, match="no directory|ends in .params"):
        save_parameters(net, tmp_path / "none" / "net.params")
    with pytest.raises(FileNotFoundError):
        load_parameters(net, tmp_path / "none.params")
    with pytest.raises(
        ValueError, match="received one in which 'weight' has none; call net.initialize"
    ):
        save_parameters(MultiChannelConv2D(2, 3), tmp_path / "net.params")
    assert not list(tmp_path.iterdir())


# Full disks and killed processes


@ON_LINUX
@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_full_disk_keeps_the_old_file(part, tmp_path):
    net, path = network(), tmp_path / "net.params"
    save_parameters(net, path)
    old = path.read_bytes()
    fill(net)
    with room_for(int(part * len(old))), pytest.raises(OSError):
        save_parameters(net, path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
    save_parameters(net, path)
    assert path.read_bytes() != old


def test_an_interruption_keeps_the_old_file(tmp_path, monkeypatch):
    net, path = network(), tmp_path / "net.params"
    save_parameters(net, path)
    old = path.read_bytes()
    fill(net)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)  # at the last moment
    with pytest.raises(KeyboardInterrupt):
        save_parameters(net, path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def start(function, *arguments):
    """Run a function of this module in a separate process."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import mxconv, test_parameters; test_parameters.{function.__name__}(*{arguments})",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
    )


def wide(value):
    layer = MultiChannelConv2D(64, 5, in_channels=128)
    layer.initialize(mx.init.Constant(value))
    return layer


def save_and_die(path, size):
    """The system kills this process while it writes."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    layer = wide(2)
    with room_for(size):
        save_parameters(layer, path)


def save_in_turn(path):
    layers = wide(1), wide(2)
    print("ready", flush=True)
    while True:
        for layer in layers:
            save_parameters(layer, path)


@pytest.mark.slow
@ON_LINUX
def test_a_process_that_dies_while_it_writes_keeps_the_old_file(tmp_path):
    path = tmp_path / "layer.params"
    save_parameters(wide(1), path)
    old = path.read_bytes()
    with start(save_and_die, str(path), len(old) // 2) as process:
        assert process.wait(LIMIT) == -signal.SIGXFSZ
    assert path.read_bytes() == old
    left = [other for other in tmp_path.iterdir() if other != path]
    assert [other.stat().st_size for other in left] == [len(old) // 2]  # it couldn't clean up
    assert left[0].name.startswith(".")
    save_parameters(wide(2), path)
    assert load_parameters(wide(1), path).weight.data().asnumpy().min() == 2


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.05, 0.1])
def test_a_process_that_is_killed_leaves_a_whole_file(delay, tmp_path):
    path, contents = tmp_path / "layer.params", []
    for value in (1, 2):
        save_parameters(wide(value), path)
        contents.append(path.read_bytes())
    with start(save_in_turn, str(path)) as process:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.kill()
        process.wait(LIMIT)
    assert path.read_bytes() in contents
    save_parameters(wide(1), path)
    assert path.read_bytes() == contents[0]


# sizes beyond memory


@pytest.mark.parametrize(
    "arguments",
    [
        dict(channels=2**20, kernel_size=1000, in_channels=2**20),
        dict(channels=2**16, kernel_size=1, in_channels=2**15),
        dict(channels=2**31 - 1, kernel_size=1),  # of which MXNet allocates one less
        dict(channels=1, kernel_size=2**16),
    ],
    ids=str,
)
def test_a_weight_that_mxnet_cannot_index_is_refused_by_the_constructor(arguments):
    with pytest.raises(ValueError, match="weight .* elements, but MXNet indexes at most"):
        MultiChannelConv2D(**arguments)


def test_a_weight_that_its_first_input_makes_too_large_is_refused_at_the_call():
    layer = MultiChannelConv2D(2**16, 1)
    layer.initialize()
    with pytest.raises(ValueError, match="weight .* elements, but MXNet indexes at most"):
        layer(nd.ones((1, 2**15, 1, 1)))
    assert layer.geometry.in_channels == 0


@pytest.mark.parametrize(
    "arguments, says",
    [
        (dict(channels=4, kernel_size=3, padding=2**14), "the output .* elements"),
        (dict(channels=1, kernel_size=1, padding=2**30, strides=2**30), "padded input"),
        (dict(channels=1, kernel_size=2, padding=2**16, strides=2**12, padding_mode="edge"), "pad"),
    ],
    ids=str,
)
def test_an_output_or_padding_beyond_memory_is_refused_at_the_call(arguments, says):
    layer = MultiChannelConv2D(**arguments)
    layer.initialize()
    with pytest.raises(ValueError, match=f"{says}.*MXNet indexes at most"):
        layer(nd.ones((1, 2, 3, 3)))

"""Files of `for_inference`: exported for MXNet without mxconv and for ONNX, choices; INT8, AMP."""

import json
import os
import subprocess
import sys
import warnings

from inference import FAST, QUICK, Siamese, X, assert_close, random, ready, sequence, small
from mxconv import export_onnx, for_inference
from mxconv.cpu import has_avx512
from mxconv.inference import search
from mxconv.selection.record import machine

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon, nd
from mxnet.contrib import amp
from mxnet.contrib.quantization import quantize_net_v2
from mxnet.gluon import SymbolBlock, nn

BRIEF = dict(seconds=0.001, progress=False)


# export

# In a process without mxconv: by Gluon, by Module, and by the C API.
PLAIN = """
import builtins, ctypes, importlib.util, os, sys, warnings
import numpy as np
for name in ("bool", "int"):  # which MXNet still uses
    if name not in vars(np):
        setattr(np, name, getattr(builtins, name))
warnings.simplefilter("ignore")

path = sys.argv[1]
x = np.load("x.npy")

def by_c_api():
    directory = os.path.dirname(importlib.util.find_spec("mxnet").origin)
    library = ctypes.CDLL(os.path.join(directory, "libmxnet.so"))
    library.MXGetLastError.restype = ctypes.c_char_p
    def call(name, *arguments):
        if getattr(library, name)(*arguments):
            raise RuntimeError(library.MXGetLastError())
    symbol = open(path + "-symbol.json", "rb").read()
    parameters = open(path + "-0000.params", "rb").read()
    handle, uint = ctypes.c_void_p(), ctypes.c_uint
    keys, bounds = (ctypes.c_char_p * 1)(b"data"), (uint * 2)(0, x.ndim)
    shape = (uint * x.ndim)(*x.shape)
    call("MXPredCreate", symbol, parameters, len(parameters), 1, 0, 1, keys, bounds, shape,
         ctypes.byref(handle))
    pointer = ctypes.POINTER(ctypes.c_float)
    values = np.ascontiguousarray(x, dtype=np.float32)
    call("MXPredSetInput", handle, b"data", values.ctypes.data_as(pointer), uint(values.size))
    call("MXPredForward", handle)
    sizes, rank = ctypes.POINTER(uint)(), uint()
    call("MXPredGetOutputShape", handle, 0, ctypes.byref(sizes), ctypes.byref(rank))
    y = np.empty(sizes[: rank.value], np.float32)
    call("MXPredGetOutput", handle, 0, y.ctypes.data_as(pointer), uint(y.size))
    call("MXPredFree", handle)
    return y

def by_gluon():
    import mxnet as mx
    from mxnet.gluon import SymbolBlock
    net = SymbolBlock.imports(path + "-symbol.json", ["data"], path + "-0000.params")
    return net(mx.nd.array(x)).asnumpy()

def by_module():
    import mxnet as mx
    symbol, arguments, states = mx.model.load_checkpoint(path, 0)
    module = mx.mod.Module(symbol, ["data"], None)
    module.bind([("data", x.shape)], for_training=False)
    module.set_params(arguments, states)
    module.forward(mx.io.DataBatch([mx.nd.array(x)]), is_train=False)
    return module.get_outputs()[0].asnumpy()

for function in (by_c_api, by_gluon, by_module):
    np.save(function.__name__ + ".npy", function())
assert "mxconv" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.parametrize("measure", [True, False])
def test_plain_mxnet_runs_the_files_to_the_bit(measure, tmp_path):
    net = sequence(nn.Conv2D(12, 3), nn.BatchNorm(), nn.Activation("relu"), nn.Conv2D(2, 9))
    net, (x,) = ready(sequence(net, nn.Dense(3)), random(2, 3, 24, 24))
    fast = for_inference(net, x, **(BRIEF if measure else QUICK))
    y = fast(x).asnumpy()
    fast.export(tmp_path / "net")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net-0000.params", "net-symbol.json"]
    np.save(tmp_path / "x.npy", x.asnumpy())
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["MXNET_SUBGRAPH_BACKEND"] = "NONE"  # see `export`
    subprocess.run([sys.executable, "-c", PLAIN, "net"], cwd=tmp_path, env=environment, check=True)
    for name in ("by_c_api", "by_gluon", "by_module"):
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), y), name


def test_several_inputs_and_outputs_come_back(tmp_path):
    net, (x, others) = ready(Siamese(), random(*X), [random(*X), random(2, 1, 1, 1)])
    fast = for_inference(net, x, others, **QUICK)
    fast.export(str(tmp_path / "net"), epoch=12)
    files = str(tmp_path / "net-symbol.json"), str(tmp_path / "net-0012.params")
    names = ["data0", "data1", "data2"]
    imported = SymbolBlock.imports(files[0], names, files[1])
    first, (second, (third,)) = fast(x, others)
    for theirs, ours in zip(imported(x, *others), (first, second, third)):
        assert np.array_equal(theirs.asnumpy(), ours.asnumpy())


@pytest.mark.parametrize("prefix", ["nowhere/net", "."])
def test_export_to_nowhere(prefix, fast, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".-symbol.json").mkdir()
    with pytest.raises(ValueError, match="no directory|not of a directory"):
        fast.export(prefix)
    assert [path.name for path in tmp_path.iterdir()] == [".-symbol.json"]
    with pytest.raises(TypeError, match="path=3"):
        fast.export(3)
    with pytest.raises(ValueError, match="epoch=-1"):
        fast.export("net", epoch=-1)


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_full_disk_keeps_both_old_files(fails_at, fast, trained, tmp_path, monkeypatch):
    fast.export(tmp_path / "net")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    net, x = trained
    net[0].weight.set_data(net[0].weight.data() * 2)
    written, write = [], type(tmp_path).write_bytes

    def write_bytes(path, data):
        written.append(path)
        if len(written) == fails_at:
            write(path, data[: len(data) // 2])
            raise OSError("the disk is full")
        return write(path, data)

    monkeypatch.setattr(type(tmp_path), "write_bytes", write_bytes)
    newer = for_inference(net, x, **QUICK)
    with pytest.raises(OSError, match="the disk is full"):
        newer.export(tmp_path / "net")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    newer.export(tmp_path / "net")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} != before


# ONNX


@pytest.mark.parametrize("folded", [False, True])
def test_onnx(folded, fast, trained, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    _, x = trained
    path = tmp_path / "net.onnx"
    export_onnx(fast.folded() if folded else fast, path, x.shape)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (name,) = (item.name for item in session.get_inputs())
    (y,) = session.run(None, {name: x.asnumpy()})
    assert_close(nd.array(y), fast(x))


# INT8, AMP and fusion


def calibrated(net, x):
    images = gluon.data.ArrayDataset(x, nd.zeros(len(x)))
    loader = gluon.data.DataLoader(images, batch_size=len(x))
    return quantize_net_v2(net, calib_data=loader, calib_mode="naive", quantize_mode="smart")


def in_bfloat16(net, x):
    return amp.convert_hybrid_block(net, target_dtype="bfloat16", ctx=mx.cpu())


def optimized(net, x):
    net.optimize_for(x, backend="MKLDNN", **FAST)
    return net


TOOLS = {"INT8": (calibrated, 0.05), "bfloat16": (in_bfloat16, 0.02), "fused": (optimized, 1e-5)}


@pytest.mark.filterwarnings("ignore:Cannot decide type:UserWarning")
@pytest.mark.parametrize("part", ["network", "folded"])
@pytest.mark.parametrize("tool", TOOLS)
def test_mxnets_tools_take_it(tool, part, fast, trained):
    convert, most = TOOLS[tool]
    if tool == "bfloat16" and not has_avx512():
        pytest.skip("MXNet convolves bfloat16 only on CPUs with AVX-512, and this one lacks it")
    _, x = trained
    y = fast(x).asnumpy()
    given = fast if part == "network" else fast.folded()
    if tool == "fused" and part == "network":
        with pytest.raises(TypeError, match="can't be optimized again"):
            convert(given, x)
        return
    actual = convert(given, x)(x).astype("float32").asnumpy()
    error = np.abs(actual - y).max() / np.abs(y).max()
    assert error < most
    assert tool == "fused" or error > 1e-4  # otherwise nothing was converted
    assert np.array_equal(fast(x).asnumpy(), y)


# choices


@pytest.fixture
def unmeasured(monkeypatch):
    """Measuring fails from here on."""

    def fail(*args, **kwargs):
        raise AssertionError("measured")

    def stop():
        monkeypatch.setattr(search, "race", fail)
        monkeypatch.setattr(search.choosing, "by_measuring", fail)

    return stop


@pytest.mark.parametrize("measure", [True, False])
def test_choices_come_back_without_measuring(measure, tmp_path, unmeasured):
    net, (x,) = ready(sequence(small(), nn.Dense(2)), random(*X))
    path = tmp_path / "choices.json"
    fast = for_inference(net, x, path=path, **(BRIEF if measure else QUICK))
    unmeasured()
    again = tmp_path / "again.json"
    twin = for_inference(net, x, choices=str(path), path=again, progress=False)
    assert again.read_bytes() == path.read_bytes()
    assert twin.report.convolutions == fast.report.convolutions
    assert np.array_equal(twin(x).asnumpy(), fast(x).asnumpy())
    assert twin.report.gain is None and str(path) in str(twin.report)


def test_choices_of_another_machine_are_followed_with_a_warning(trained, tmp_path):
    net, x = trained
    path = tmp_path / "choices.json"
    fast = for_inference(net, x, path=path, **QUICK)
    path.write_text(path.read_text().replace(machine(), "a 6502"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        twin = for_inference(net, x, choices=path, progress=False)
    texts = [str(warning.message) for warning in caught]
    assert any("choices.json' were made on a 6502, and this is" in text for text in texts)
    assert np.array_equal(twin(x).asnumpy(), fast(x).asnumpy())


def test_names_dont_depend_on_what_was_traced_before(tmp_path):
    """So a later epoch of the same network fits the exported graph."""
    net, (x,) = ready(sequence(nn.Conv2D(64, 3), nn.Conv2D(2, 3, padding=1)), random(1, 3, 40, 40))
    first, second = (for_inference(net, x, **QUICK) for _ in range(2))
    assert first.report.convolutions  # that are computed by other steps, which have names
    first.export(tmp_path / "first")
    second.export(tmp_path / "second")
    parameters = [nd.load(str(path)) for path in sorted(tmp_path.glob("*.params"))]
    assert parameters[0].keys() == parameters[1].keys()


def damaged(text):
    content = json.loads(text)
    yield text[: len(text) // 2]
    yield ""
    yield "[]"
    yield "null"
    yield '{"layers": {}}'
    yield json.dumps({**content, "convolutions": 3})
    yield json.dumps({**content, "convolutions": [3]})
    yield json.dumps({**content, "folded": "yes"})
    for key in content:
        if key != "machine":
            yield json.dumps({name: value for name, value in content.items() if name != key})
    first, *rest = content["convolutions"]
    for changed in (
        {**first, "algorithm": "fastest"},
        {**first, "algorithm": 3},
        {**first, "algorithm": ["native"]},
        {**first, "apart": None},
        {**first, "geometry": "another"},
        {name: value for name, value in first.items() if name != "input_shape"},
    ):
        yield json.dumps({**content, "convolutions": [changed, *rest]})


def test_damaged_and_foreign_choices(trained, tmp_path):
    net, x = trained
    path, out = tmp_path / "choices.json", tmp_path / "out.json"
    for_inference(net, x, path=path, **QUICK)
    for text in damaged(path.read_text()):
        path.write_text(text)
        with pytest.raises(ValueError, match="choices.json"):
            for_inference(net, x, choices=path, path=out, progress=False)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="expected a file that for_inference has saved"):
        for_inference(net, x, choices=path, progress=False)
    for_inference(net, x, path=path, **QUICK)
    other, _ = ready(sequence(nn.Conv2D(7, 3), nn.Dense(3)), x)
    with pytest.raises(ValueError, match="is for another network, another input shape or another"):
        for_inference(other, x, choices=path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["choices.json"]

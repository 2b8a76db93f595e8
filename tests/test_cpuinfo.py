"""What the CPU has, compared with what oneDNN says of itself, in processes of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

from helpers import slow_but
from mxconv import _cpuinfo

import pytest

pytestmark = pytest.mark.kernels

ROOT = Path(__file__).resolve().parents[1]
LAYER = """
from mxconv import MultiChannelConv2D
from mxconv.cpu import has_avx512
print(has_avx512())
import mxnet as mx
layer = MultiChannelConv2D(16, 3, in_channels=16)
layer.initialize()
layer(mx.nd.ones((1, 16, 8, 8))).wait_to_read()
"""


def child(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ, PYTHONPATH=str(ROOT), **environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


CAPS = ["", "ALL", "SSE41", "AVX", "AVX2", "avx2", "AVX512_CORE", "AVX512_MIC", "nonsense"]


@pytest.mark.parametrize("cap", slow_but(CAPS, ""))
def test_has_avx512_is_what_onednn_takes_under_every_cap(cap):
    done = child(LAYER, DNNL_MAX_CPU_ISA=cap, MKLDNN_VERBOSE="1")
    isa = re.search(r"^dnnl_verbose,info,cpu,isa:(.*)$", done.stdout, re.MULTILINE)
    if isa is None:
        pytest.skip("this MXNet has no oneDNN, or it doesn't say what it takes")
    said = "True" in done.stdout.split("dnnl_verbose")[0]
    assert said == bool(re.search(r"AVX-512 with (AVX512BW|Intel DL)", isa[1])), isa[1]


@pytest.mark.slow
@pytest.mark.parametrize("cap", ["ALL", "AVX2"])
def test_nothing_is_said_on_standard_error(cap):
    assert child(LAYER, DNNL_MAX_CPU_ISA=cap).stderr == ""


LINUX = """processor\t: 0
model name\t: A CPU of some maker
flags\t\t: fpu sse avx2 avx512f avx512dq avx512cd avx512bw avx512vl
vmx flags\t: vnmi

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
MAC = {
    "machdep.cpu.features": "FPU SSE4.2 FMA",
    "machdep.cpu.leaf7_features": "AVX2 AVX512F AVX512DQ AVX512BW AVX512VL",
    "machdep.cpu.brand_string": "Another CPU",
}


@pytest.fixture
def fresh(monkeypatch):
    """Nothing is remembered, before and after."""
    monkeypatch.delenv(_cpuinfo.MAX_ISA, raising=False)
    for function in (_cpuinfo.flags, _cpuinfo.has_avx512):
        function.cache_clear()
    yield monkeypatch
    for function in (_cpuinfo.flags, _cpuinfo.has_avx512):
        function.cache_clear()


@pytest.mark.parametrize(
    "text, some, avx512, model",
    [
        (LINUX, {"avx2", "avx512f"}, True, "A CPU of some maker"),
        (LINUX.replace("avx512bw ", ""), {"avx2", "avx512f"}, False, "A CPU of some maker"),
        (ARM, set(), False, None),
        (None, set(), False, None),
    ],
)
def test_what_linux_tells(text, some, avx512, model, fresh, tmp_path):
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    fresh.setattr(sys, "platform", "linux")
    fresh.setattr(_cpuinfo, "PROC_CPUINFO", path)
    assert some <= _cpuinfo.flags() and (some or not _cpuinfo.flags())
    assert _cpuinfo.has_avx512() is avx512
    assert _cpuinfo.model() == model or (model is None and _cpuinfo.model())


def test_what_macos_tells(fresh):
    fresh.setattr(sys, "platform", "darwin")
    fresh.setattr(_cpuinfo, "_sysctl", MAC.get)
    assert {"fma", "avx2", "avx512vl"} <= _cpuinfo.flags()
    assert _cpuinfo.has_avx512() and _cpuinfo.model() == "Another CPU"


def test_a_system_without_sysctl_is_one_that_tells_nothing(fresh):
    fresh.setattr(sys, "platform", "darwin")
    fresh.setenv("PATH", "")
    assert _cpuinfo.flags() == set() and not _cpuinfo.has_avx512() and _cpuinfo.model()


USES = """
import sys
import mxconv
from mxnet import autograd, gluon, nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision

def network(conv):
    net = nn.HybridSequential()
    net.add(conv(12, 3, padding=1), nn.BatchNorm(), conv(2, 3, padding=1), nn.Dense(3))
    net.initialize()
    return net

x = nd.ones((2, 64, 32, 32))
for flags in (None, {}, dict(static_alloc=True, static_shape=True)):
    net = network(mxconv.MultiChannelConv2D)
    if flags is not None:
        net.hybridize(**flags)
    with autograd.record():
        loss = net(x).sum()
    loss.backward()
    nd.waitall()
net = mxconv.convert(network(nn.Conv2D))
net(x)
mxconv.choose_algorithms(net, x.shape)
print(mxconv.count_cost(net, x.shape))
mxconv.choose_algorithms(net, x, measure=True, seconds=0.01, progress=False)
for name in ("im2col", "native", "auto"):
    mxconv.set_algorithm(net, name)
    net(x).asnumpy()
net.hybridize()
net(x)
net.export(sys.argv[1])
mxconv.save_parameters(net, sys.argv[1] + ".params")
mxconv.load_parameters(net, sys.argv[1] + ".params")
mxconv.revert(net)(x).asnumpy()
"""


@pytest.mark.slow
@pytest.mark.parametrize("cap", ["ALL", "AVX2"])
def test_the_usual_uses_say_nothing_on_standard_error(cap, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", USES, str(tmp_path / "net")],
        env=dict(os.environ, PYTHONPATH=str(ROOT), DNNL_MAX_CPU_ISA=cap),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize(
    "given, cores, expected",
    [
        (None, 1, 1),
        (None, 2, 1),
        (None, 16, 8),
        ("", 8, 4),
        ("3", 2, 3),
        ("4,2", 8, 4),
        ("x", 8, 4),
    ],
)
def test_the_threads_of_an_operator(given, cores, expected, monkeypatch):
    monkeypatch.setattr(_cpuinfo, "cores", lambda: cores)
    if given is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert _cpuinfo.threads() == expected


@pytest.mark.parametrize("cap, expected", [("", True), ("AVX2", True), ("AVX", False)])
def test_has_avx2(cap, expected, fresh, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(LINUX)
    fresh.setattr(sys, "platform", "linux")
    fresh.setattr(_cpuinfo, "PROC_CPUINFO", path)
    fresh.setenv("DNNL_MAX_CPU_ISA", cap)
    assert _cpuinfo.has_avx2() is expected

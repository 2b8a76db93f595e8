"""The settings of the process, each made in a process of its own, by what can be seen of them."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

from mxconv import cpu

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINUX = sys.platform.startswith("linux")
GLIBC = LINUX and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")
NEEDS_GLIBC = pytest.mark.skipif(not GLIBC, reason="mallopt is glibc's, and this system has none")
NEEDS_LINUX = pytest.mark.skipif(not LINUX, reason="Linux tells a process what it has mapped")
HAS_AMX = {"amx_tile", "amx_bf16"} <= cpu.flags()
NEEDS_OPENBLAS = pytest.mark.skipif(
    cpu._kernel_name() is None or not cpu.KERNELS["HASWELL"] <= cpu.flags(),
    reason="this is about MXNet's own OpenBLAS on a CPU with AVX2",
)

START = """
import os, time
from mxconv import cpu
from mxnet import nd
def resident():
    nd.waitall()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
def convolve():
    x = nd.ones((1, 16, 8, 8))
    nd.Convolution(x, nd.ones((16, 16, 3, 3)), kernel=(3, 3), num_filter=16, no_bias=True).asnumpy()
"""


def child(code, **environment):
    """What a new process prints that runs `code` after the import of mxconv.cpu, line by line."""
    unset = {"DNNL_MAX_CPU_ISA", "MXNET_ENGINE_TYPE", "OPENBLAS_CORETYPE", *environment}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    result = subprocess.run(
        [sys.executable, "-c", START + code],
        env=dict(kept, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", **environment),
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_setting_is_true_where_it_was_applied_and_prints_why():
    setting = cpu._applied("for a reason")
    assert setting and setting.applied is True and setting.environment == {}
    assert str(setting) == setting.reason == "for a reason"
    setting = cpu._not_applied("for another", NAME="value")
    assert not setting and setting.applied is False and setting.environment == {"NAME": "value"}
    assert str(setting) == setting.reason == "nothing changed: for another"


def test_importing_the_module_changes_nothing():
    """Not the variables, and no operator has run: no thread, no code compiled."""
    code = """
import mxnet, sys
before, threads = dict(os.environ), len(os.listdir("/proc/self/task")) if {linux} else 0
del sys.modules["mxconv.cpu"]
from mxconv import cpu
print(dict(os.environ) == before)
print(not {linux} or (len(os.listdir("/proc/self/task")) == threads and not cpu._has_compiled()))
"""
    assert child(code.format(linux=LINUX)) == ["True", "True"]


def after_freeing(seconds):
    """Code that prints the MB that the process holds with an array of 64 MB, and after it is freed.

    MXNet frees it when it comes to it: within these seconds.
    """
    return f"""
start = resident()
x = nd.ones(2**24)
held = resident() - start
del x
end = time.time() + {seconds}
while resident() - start > 10 and time.time() < end:
    time.sleep(0.01)
print(held, resident() - start)
"""


@pytest.mark.slow
@NEEDS_GLIBC
def test_the_memory_of_a_large_array_is_given_back_and_with_the_setting_it_is_kept():
    held, after = map(float, child(after_freeing(60))[0].split())
    assert held > 60 and after < 10
    line = child("print(bool(cpu.keep_large_buffers()))" + after_freeing(2))
    assert line[0] == "True"
    held, after = map(float, line[1].split())
    assert held > 60 and after > 60


@pytest.mark.slow
@NEEDS_GLIBC
def test_the_memory_that_was_kept_serves_the_next_large_arrays():
    """100 arrays of 64 MB come and go in turn, and the process grows by fewer than 20 of them."""
    code = """
cpu.keep_large_buffers()
start = resident()
for _ in range(100):
    nd.ones(2**24).wait_to_read()
print(resident() - start)
"""
    held = float(*child(code))
    assert 60 < held < 20 * 64, f"{held} MB"


@pytest.mark.slow
@NEEDS_GLIBC
def test_after_the_first_operator_it_is_too_late_to_keep_large_buffers_and_nothing_is_changed():
    code = "nd.ones(1).wait_to_read(); print(cpu.keep_large_buffers())"
    said, figures = child(code + after_freeing(60))
    assert said.startswith("nothing changed: it is too late")
    assert float(figures.split()[1]) < 10


@pytest.mark.skipif(GLIBC, reason="this system has glibc, and the test is about the others")
def test_without_glibc_large_buffers_are_left_alone():
    assert "glibc" in str(cpu.keep_large_buffers())


@pytest.mark.slow
@NEEDS_LINUX
def test_one_convolution_shows_that_onednn_has_chosen():
    code = """
print(cpu._has_compiled())
nd.dot(nd.random.normal(shape=(8, 8)), nd.ones((8, 8))).wait_to_read()
cpu.keep_large_buffers()
print(cpu._has_compiled())
convolve()
print(cpu._has_compiled())
"""
    assert child(code) == ["False", "False", "True"]


@pytest.mark.slow
@pytest.mark.skipif(HAS_AMX, reason="this CPU has AMX, and the test is about the others")
def test_without_amx_it_says_so_and_changes_nothing():
    code = """
before = dict(os.environ)
print(cpu.use_amx())
print(dict(os.environ) == before)
convolve()
"""
    said, same = child(code)
    assert said.startswith("nothing changed: no AMX for bfloat16 on this CPU") and same == "True"


@pytest.mark.slow
@NEEDS_LINUX
@pytest.mark.skipif(HAS_AMX, reason="this CPU has AMX, and the test is about the others")
def test_without_the_kernels_permission_the_probe_fails_before_the_variable_is_set():
    code = """
before = dict(os.environ)
probe = cpu._in_child(cpu._turn_amx_on, MKLDNN_VERBOSE="1")
print(probe.returncode, "permission" in probe.stderr, "convolution" in probe.stdout)
try:
    cpu._turn_amx_on()
except OSError:
    print(dict(os.environ) == before, cpu._has_compiled())
convolve()
"""
    assert child(code) == ["1 True False", "True False"]


@pytest.mark.slow
@pytest.mark.skipif(not HAS_AMX, reason="the CPU or the system has no AMX for bfloat16")
@pytest.mark.parametrize("isa", [None, "AVX512_CORE"])
def test_with_amx_onednn_convolves_bfloat16_on_it_and_children_do_not_inherit_the_variable(isa):
    code = """
before = dict(os.environ)
print("setting", bool(cpu.use_amx()), dict(os.environ) == before, flush=True)
from mxconv import MultiChannelConv2D
layer = MultiChannelConv2D(64, 3, in_channels=64)
layer.initialize()
layer.cast("bfloat16")
y = layer(nd.ones((1, 64, 20, 20)).astype(cpu.BFLOAT16))
y.wait_to_read()
"""
    environment = {} if isa is None else {"DNNL_MAX_CPU_ISA": isa}
    lines = child(code, MKLDNN_VERBOSE="1", **environment)
    assert "setting True True" in lines
    convolutions = [line for line in lines if ",convolution," in line and "ic64oc64" in line]
    assert len(convolutions) == 2 and all("amx" in line for line in convolutions)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_AMX, reason="the CPU or the system has no AMX for bfloat16")
def test_after_the_first_convolution_it_is_too_late_for_amx():
    assert child("convolve(); print(cpu.use_amx())")[0].startswith(
        "nothing changed: it is too late"
    )


@pytest.mark.slow
@NEEDS_OPENBLAS
def test_a_kernel_of_sse_is_seen_and_the_variable_that_is_proposed_gives_a_better_one():
    """Prescott is what OpenBLAS takes for a CPU that it doesn't know."""
    code = """
before = dict(os.environ)
setting = cpu.openblas_kernel()
print(cpu._kernel_name(), bool(setting), dict(os.environ) == before, *setting.environment)
print(*setting.environment.values())
print(setting)
"""
    first, proposed, said = child(code, OPENBLAS_CORETYPE="Prescott")
    assert first == "Prescott False True OPENBLAS_CORETYPE"
    assert f"start Python with OPENBLAS_CORETYPE={proposed}" in said
    with_it = """
print(cpu._kernel_name() != "Prescott", cpu.openblas_kernel().environment)
x = nd.arange(35).reshape((5, 7))
print((nd.dot(x, x.T).asnumpy() == x.asnumpy().astype(int) @ x.asnumpy().astype(int).T).all())
"""
    assert child(with_it, OPENBLAS_CORETYPE=proposed) == ["True {}", "True"]


@pytest.mark.slow
@NEEDS_OPENBLAS
@pytest.mark.skipif("fma4" in cpu.flags(), reason="this CPU can run the kernel of another")
def test_a_kernel_that_the_cpu_cannot_run_kills_only_the_probe():
    probe = cpu._in_child(cpu._time_product, OPENBLAS_CORETYPE="Bulldozer")
    assert probe.returncode == -signal.SIGILL


@pytest.mark.slow
def test_the_module_as_a_program_prints_a_line_for_each_setting():
    result = subprocess.run(
        [sys.executable, "-m", "mxconv.cpu"],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        timeout=120,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    names = [line.split(": ")[0] for line in result.stdout.splitlines()]
    assert names == ["keep_large_buffers", "use_amx", "openblas_kernel"]

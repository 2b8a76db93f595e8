"""Settings of the process that make MXNet faster on a CPU, `nn.Conv2D` as much as this library.

Importing this module changes nothing. Each function finds out first whether its setting would help
here, in a child process where a wrong guess would kill; makes it only then; and says what it did
and why. ``python -m mxconv.cpu`` prints what they say on this machine. What they gain and what they
cost is measured in docs/cpu.md.
"""

import ctypes
import os
import re
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import mxnet as mx
import numpy as np
from mxnet import nd
from mxnet.base import _LIB, check_call

from ._cpuinfo import MAX_ISA, flags, has_avx512, model  # noqa: F401  (two for users)
from .dtypes import BFLOAT16

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
LARGEST = 2**31 - 1

SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18  # Linux on x86-64
FFI_PAGES = 1 << 16  # bytes; callbacks from C to Python need less, oneDNN's code more

KERNELS = {  # OpenBLAS's names of its kernels, and what the CPU must have for them; best first
    "SKYLAKEX": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
    "HASWELL": {"avx2", "fma"},
}
CLEARLY = 1.2  # times faster


class Setting(NamedTuple):
    """What became of a setting; true if this process has it now."""

    made: bool
    why: str
    environment: dict  # variables to start Python with to have it, where that is the only way

    def __bool__(self):
        return self.made

    def __str__(self):
        return self.why


def done(why):
    return Setting(True, why, {})


def left(why, **environment):
    return Setting(False, f"nothing changed: {why}", environment)


def keep_large_buffers():
    """Let glibc keep the memory of large arrays for the next ones, instead of giving it back.

    Otherwise the memory of each large output is mapped, faulted in page by page, and unmapped, at
    every call. The cost: the process stays as large as it ever was.

    Call it before the first MXNet operator of the process: that one starts MXNet's worker thread,
    which allocates from then on where it began to. Only glibc's allocator on Linux has it.

    Returns
    -------
    Setting
    """
    if not sys.platform.startswith("linux"):
        return left("only glibc's allocator, on Linux, has this setting")
    process = ctypes.CDLL(None)
    if not hasattr(process, "gnu_get_libc_version"):
        return left("the C library is not glibc")
    if address(process.malloc) != address(ctypes.CDLL("libc.so.6").malloc):
        return left("another allocator than glibc's is loaded")
    if not process.mallopt(M_ARENA_MAX, 1):
        return left("glibc refused M_ARENA_MAX")
    if not in_main_heap(nd.zeros(1 << 14)):
        process.mallopt(M_ARENA_MAX, 0)  # the default
        return left(
            "it is too late, MXNet's worker thread allocates in an arena of its own; call it "
            "before the first operator"
        )
    if not all(process.mallopt(name, LARGEST) for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)):
        return left("glibc refused M_MMAP_THRESHOLD or M_TRIM_THRESHOLD")
    return done("glibc keeps the memory of large arrays; the process doesn't shrink any more")


def address(function):
    return ctypes.cast(function, ctypes.c_void_p).value


def in_main_heap(x):
    """Whether an array's elements lie in the heap that the main thread allocates from."""
    x.wait_to_read()
    first = ctypes.c_void_p()
    check_call(_LIB.MXNDArrayGetData(x.handle, ctypes.byref(first)))
    return any(
        path == "[heap]" and start <= first.value < end for start, end, _, path in mappings()
    )


def mappings():
    """Start, end, permissions and path of each mapping of this process."""
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        span, permissions, _, _, _, *path = line.split(maxsplit=5)
        start, end = (int(bound, 16) for bound in span.split("-"))
        yield start, end, permissions, "".join(path)


def in_child(function, **environment):
    """Run a function of this module in a process of its own: its exit status and its output."""
    return subprocess.run(
        [sys.executable, "-c", f"from mxconv import cpu; cpu.{function.__name__}()"],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


@lru_cache(maxsize=None)  # called again, it would find itself too late
def use_amx():
    """Let oneDNN compute bfloat16 with AMX, the matrix unit of Intel's server CPUs since 2023.

    `layer.cast('bfloat16')` runs on it from then on. Call it before the first convolution of the
    process, after `keep_large_buffers`: oneDNN decides once. It is tried in a child process first,
    since without the kernel's permission the instructions kill.

    Returns
    -------
    Setting
    """
    if not {"amx_tile", "amx_bf16"} <= flags():
        return left("no AMX for bfloat16 on this CPU, or the system doesn't show it")
    if has_compiled():
        return left("it is too late, oneDNN has chosen; call it before the first convolution")
    child = in_child(turn_amx_on, MKLDNN_VERBOSE="1")
    if child.returncode:
        reason = child.stderr.strip().splitlines() or [f"exit status {child.returncode}"]
        return left(f"in a child process it failed: {reason[-1]}")
    if not re.search(r",convolution,.*amx", child.stdout):
        return left("oneDNN convolved without AMX in a child process")
    turn_amx_on()
    return done("oneDNN convolves bfloat16 with AMX")


def has_compiled():
    """Whether there is machine code compiled by this process, as oneDNN's first primitive has."""
    return any(
        "x" in permissions and not path and end - start > FFI_PAGES
        for start, end, permissions, path in mappings()
    )


def turn_amx_on():
    """Get the kernel's permission, and have oneDNN read its variable, by a convolution.

    The variable is put back then: a child process would inherit it, but not the permission.
    """
    process = ctypes.CDLL(None, use_errno=True)
    if process.syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA):
        raise OSError(ctypes.get_errno(), "the kernel gives no permission to use AMX")
    before = os.environ.pop(MAX_ISA, None)
    os.environ[MAX_ISA] = "AVX512_CORE_AMX"
    try:
        x, weight = (
            nd.ones(shape, mx.cpu()).astype(BFLOAT16) for shape in ((1, 64, 16, 16), (64, 64, 3, 3))
        )
        y = nd.Convolution(x, weight, kernel=(3, 3), num_filter=64, no_bias=True).asnumpy()
    finally:
        del os.environ[MAX_ISA]
        if before is not None:
            os.environ[MAX_ISA] = before
    expected = np.float32(64 * 3 * 3).view(np.uint32) >> 16  # bfloat16 is float32's upper half
    if (y.view(np.uint16) != expected).any():
        raise ArithmeticError("oneDNN computes wrongly with AMX")


def openblas_kernel():
    """Find out whether MXNet's OpenBLAS uses a slower kernel than this CPU could run.

    It multiplies the matrices of `nd.dot`, `batch_dot` and `linalg_gemm2`, not those of
    convolutions. One that is older than the CPU takes its slowest kernel. It chooses when it is
    loaded, before any code of this library runs, so this function can only say which variable to
    start Python with. The other kernel is tried in a child process, as one that the CPU can't run
    kills, and is proposed only if its products are right and it is clearly faster.

    Returns
    -------
    Setting
        Never made; `environment` holds the variable, or nothing if nothing is to be gained.
    """
    now = kernel_name()
    if now is None:
        return left("MXNet's libraries have no OpenBLAS among them")
    name = next((name for name, needed in KERNELS.items() if needed <= flags()), None)
    if name is None:
        return left(f"OpenBLAS uses its kernel {now}, and no better one is known for this CPU")
    child = in_child(time_product, OPENBLAS_CORETYPE=name)
    if child.returncode:
        return left(f"OpenBLAS uses its kernel {now}, and {name} fails on this CPU")
    other, seconds = child.stdout.split()
    if other == now:
        return left(f"OpenBLAS uses its kernel {now}, the best that it has for this CPU")
    _, seconds_now = in_child(time_product, OPENBLAS_CORETYPE=now).stdout.split()
    gain = float(seconds_now) / float(seconds)
    if gain < CLEARLY:
        return left(f"OpenBLAS uses its kernel {now}, and {other} is {gain:.2f} times as fast")
    return left(
        f"OpenBLAS uses its kernel {now}, and {other} is {gain:.1f} times as fast; "
        f"start Python with OPENBLAS_CORETYPE={name}",
        OPENBLAS_CORETYPE=name,
    )


def kernel_name():
    """What MXNet's own OpenBLAS calls the kernel that it uses, or None without such a library."""
    for path in Path(mx.__file__).parent.glob("libopenblas*"):
        library = ctypes.CDLL(str(path))
        library.openblas_get_corename.restype = ctypes.c_char_p
        return library.openblas_get_corename().decode()


def time_product():
    """Print the kernel's name and the least seconds of a product, after checking a result.

    The least, since whatever else the machine does can only add to them. Of integers, so that
    float32 holds every sum exactly; NumPy's product, in float32, is run with it because its
    OpenBLAS reads the same variable.
    """
    a, b = (np.random.randint(-8, 9, shape) for shape in ((381, 509), (509, 387)))
    x, y = (nd.array(array, mx.cpu(), "float32") for array in (a, b))
    expected = a @ b
    for product in (nd.dot(x, y).asnumpy(), a.astype("float32") @ b.astype("float32")):
        if (product != expected).any():
            raise ArithmeticError("OpenBLAS computes wrongly")
    times = []
    for _ in range(31):
        start = time.perf_counter()
        nd.dot(x, y).wait_to_read()
        times.append(time.perf_counter() - start)
    print(kernel_name(), min(times))


if __name__ == "__main__":
    for setting in (keep_large_buffers, use_amx, openblas_kernel):
        print(f"{setting.__name__}: {setting()}")

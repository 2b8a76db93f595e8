"""Process-wide CPU settings that make MXNet faster, `nn.Conv2D` as much as this library.

Importing this module changes nothing. Each function first finds out whether its setting would help
on this machine, in a child process where a wrong guess could crash. Only then does it apply the
setting, and it returns what it did and why. ``python -m mxconv.cpu`` prints the outcome of all
three. docs/cpu.md has measurements of what they gain and what they cost.
"""

import ctypes
import os
import re
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np
from mxnet import nd

from . import _gluon
from ._cpuinfo import MAX_ISA, flags, has_avx512, model
from .dtypes import BFLOAT16

__all__ = [
    "Setting",
    "flags",
    "has_avx512",
    "keep_large_buffers",
    "model",
    "openblas_kernel",
    "use_amx",
]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # from glibc's malloc.h
INT32_MAX = 2**31 - 1

SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18  # Linux on x86-64
FFI_PAGES = 1 << 16  # bytes; callbacks from C to Python need less, oneDNN's code needs more

KERNELS = {  # OpenBLAS's names of its kernels, best first, and the CPU features that they need
    "SKYLAKEX": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
    "HASWELL": {"avx2", "fma"},
}
MIN_SPEEDUP = 1.2  # a kernel has to be this many times as fast to be proposed


class Setting(NamedTuple):
    """The outcome of a setting; true if it is in effect in this process.

    Attributes
    ----------
    applied : bool
    reason : str
        What was done, or why nothing was; `str` gives this.
    environment : dict of str
        Environment variables to start Python with to get the setting, if that is the only way.
    """

    applied: bool
    reason: str
    environment: Dict[str, str]

    def __bool__(self) -> bool:
        return self.applied

    def __str__(self) -> str:
        return self.reason


def _applied(reason: str) -> Setting:
    return Setting(True, reason, {})


def _not_applied(reason: str, **environment: str) -> Setting:
    return Setting(False, f"nothing changed: {reason}", environment)


def keep_large_buffers() -> Setting:
    """Make glibc keep the memory of large arrays for later ones instead of returning it.

    Otherwise the memory of each large output is mapped, faulted in page by page and unmapped on
    every call. The cost is that the process never shrinks.

    Call this before the first MXNet operator of the process. That operator starts MXNet's worker
    thread, which stays with the arena that it first allocates from. Only glibc's allocator, on
    Linux, has this setting.

    Returns
    -------
    Setting

    References
    ----------
    ``man 3 mallopt``: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_ARENA_MAX.
    """
    if not sys.platform.startswith("linux"):
        return _not_applied("only glibc's allocator, on Linux, has this setting")
    process = ctypes.CDLL(None)
    if not hasattr(process, "gnu_get_libc_version"):
        return _not_applied("the C library is not glibc")
    if _address(process.malloc) != _address(ctypes.CDLL("libc.so.6").malloc):
        return _not_applied("an allocator other than glibc's is loaded")
    if not process.mallopt(M_ARENA_MAX, 1):
        return _not_applied("glibc rejected M_ARENA_MAX")
    if not _in_main_heap(nd.zeros(1 << 14)):
        process.mallopt(M_ARENA_MAX, 0)  # the default
        return _not_applied(
            "it is too late, because MXNet's worker thread allocates in an arena of its own; call "
            "this before the first operator"
        )
    if not all(process.mallopt(name, INT32_MAX) for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)):
        return _not_applied("glibc rejected M_MMAP_THRESHOLD or M_TRIM_THRESHOLD")
    return _applied("glibc keeps the memory of large arrays and no longer returns it to the system")


def _address(function: Any) -> Optional[int]:
    return ctypes.cast(function, ctypes.c_void_p).value


def _in_main_heap(x: nd.NDArray) -> bool:
    """Return whether an array lies in the heap that the main thread allocates from."""
    address = _gluon.address_of(x)
    return any(path == "[heap]" and start <= address < end for start, end, _, path in _mappings())


def _mappings() -> Iterator[Tuple[int, int, str, str]]:
    """Yield start, end, permissions and path of each mapping in this process's memory."""
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        span, permissions, _, _, _, *path = line.split(maxsplit=5)
        start, end = (int(bound, 16) for bound in span.split("-"))
        yield start, end, permissions, "".join(path)


def _in_child(
    function: Callable[[], None], **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a function of this module in a new process, and capture its status and its output."""
    return subprocess.run(
        [sys.executable, "-c", f"from mxconv import cpu; cpu.{function.__name__}()"],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), **environment),
        capture_output=True,
        text=True,
    )


@lru_cache(maxsize=None)  # a second call would find that it comes too late
def use_amx() -> Setting:
    """Let oneDNN compute bfloat16 with AMX, the matrix unit of Intel server CPUs since 2023.

    From then on, layers with parameters of bfloat16 (`layer.cast('bfloat16')`) run on it. Call this
    before the first convolution of the process, because oneDNN decides only once, and after
    `keep_large_buffers`. It is tried in a child process first, because without the kernel's
    permission AMX's instructions crash the process.

    Returns
    -------
    Setting

    References
    ----------
    "Using XSTATE features in user space applications" in the documentation of the Linux kernel.
    """
    if not {"amx_tile", "amx_bf16"} <= flags():
        return _not_applied("no AMX for bfloat16 on this CPU, or the system doesn't show it")
    if _has_compiled():
        return _not_applied(
            "it is too late, because oneDNN has chosen already; call this before the first "
            "convolution"
        )
    child = _in_child(_turn_amx_on, MKLDNN_VERBOSE="1")
    if child.returncode:
        lines = child.stderr.strip().splitlines() or [f"exit status {child.returncode}"]
        return _not_applied(f"in a child process it failed: {lines[-1]}")
    if not re.search(r",convolution,.*amx", child.stdout):
        return _not_applied("oneDNN convolved without AMX in a child process")
    _turn_amx_on()
    return _applied("oneDNN convolves bfloat16 with AMX")


def _has_compiled() -> bool:
    """Return whether this process has compiled machine code, as oneDNN's first primitive does."""
    return any(
        "x" in permissions and not path and end - start > FFI_PAGES
        for start, end, permissions, path in _mappings()
    )


def _turn_amx_on() -> None:
    """Get the kernel's permission, then make oneDNN read its variable, by running a convolution.

    Afterwards the variable is restored: a child process would inherit it, but not the permission.
    """
    process = ctypes.CDLL(None, use_errno=True)
    if process.syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA):
        raise OSError(ctypes.get_errno(), "the kernel doesn't give permission to use AMX")
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
        raise ArithmeticError("oneDNN's results with AMX are wrong")


def openblas_kernel() -> Setting:
    """Find out whether MXNet's OpenBLAS uses a slower kernel than this CPU could run.

    OpenBLAS multiplies the matrices of `nd.dot`, `batch_dot` and `linalg_gemm2`, but not those of
    convolutions. A version older than the CPU falls back to its slowest kernel. It chooses when it
    is loaded, before any code of this library runs, so this function can only tell which variable
    to start Python with. Another kernel is tried in a child process, because an unsupported kernel
    crashes the process, and is proposed only if its products are right and it is clearly faster.

    Returns
    -------
    Setting
        Never applied. `environment` has the variable to set, or nothing if it wouldn't help.
    """
    now = _kernel_name()
    if now is None:
        return _not_applied("MXNet comes without OpenBLAS")
    name = next((name for name, needed in KERNELS.items() if needed <= flags()), None)
    if name is None:
        return _not_applied(f"OpenBLAS uses its kernel {now}; no better one is known for this CPU")
    child = _in_child(_time_product, OPENBLAS_CORETYPE=name)
    if child.returncode:
        return _not_applied(f"OpenBLAS uses its kernel {now}; {name} fails on this CPU")
    other, seconds = child.stdout.split()
    if other == now:
        return _not_applied(f"OpenBLAS uses its kernel {now}, the best that it has for this CPU")
    _, seconds_now = _in_child(_time_product, OPENBLAS_CORETYPE=now).stdout.split()
    speedup = float(seconds_now) / float(seconds)
    if speedup < MIN_SPEEDUP:
        return _not_applied(
            f"OpenBLAS uses its kernel {now}; {other} is {speedup:.2f} times as fast"
        )
    return _not_applied(
        f"OpenBLAS uses its kernel {now}; {other} is {speedup:.1f} times as fast: "
        f"start Python with OPENBLAS_CORETYPE={name}",
        OPENBLAS_CORETYPE=name,
    )


def _kernel_name() -> Optional[str]:
    """Return the name of the kernel that MXNet's OpenBLAS uses, or None if there is no OpenBLAS."""
    for path in Path(mx.__file__).parent.glob("libopenblas*"):
        library = ctypes.CDLL(str(path))
        library.openblas_get_corename.restype = ctypes.c_char_p
        return library.openblas_get_corename().decode()
    return None


def _time_product() -> None:
    """Print the kernel's name and the seconds of a product, after checking a result.

    They are the least of several runs, because anything else on the machine only adds to them. The
    factors are integers, so that float32 holds each sum exactly. NumPy's product in float32 is
    checked as well, because its OpenBLAS reads the same variable.
    """
    random = np.random.default_rng()
    a, b = (random.integers(-8, 9, shape) for shape in ((381, 509), (509, 387)))
    x, y = (nd.array(array, mx.cpu(), "float32") for array in (a, b))
    expected = a @ b
    for product in (nd.dot(x, y).asnumpy(), a.astype("float32") @ b.astype("float32")):
        if (product != expected).any():
            raise ArithmeticError("OpenBLAS's products are wrong")
    times = []
    for _ in range(31):
        start = time.perf_counter()
        nd.dot(x, y).wait_to_read()
        times.append(time.perf_counter() - start)
    print(_kernel_name(), min(times))


if __name__ == "__main__":
    for setting in (keep_large_buffers, use_amx, openblas_kernel):
        print(f"{setting.__name__}: {setting()}")

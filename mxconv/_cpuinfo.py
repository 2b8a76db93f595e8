"""The CPU's name and features, as the operating system reports them; no operator has to run.

oneDNN, which computes MXNet's convolutions, uses the newest instructions that the CPU has, up to
those that the environment variable DNNL_MAX_CPU_ISA allows.
"""

import os
import platform
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import FrozenSet

PROC_CPUINFO = Path("/proc/cpuinfo")
MAX_ISA = "DNNL_MAX_CPU_ISA"
# Its values that exclude AVX-512; Xeon Phi's two lack parts of it. oneDNN ignores other spellings.
WITHOUT_AVX512 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_MIC", "AVX512_MIC_4OPS")
WITHOUT_AVX2 = ("SSE41", "AVX")
AVX512 = {"avx512f", "avx512bw", "avx512vl", "avx512dq"}  # what oneDNN calls avx512_core


@lru_cache(maxsize=None)
def flags() -> FrozenSet[str]:
    """Return the CPU's features in lowercase, as Linux names them; none if they aren't known."""
    if sys.platform == "darwin":
        names = ("machdep.cpu.features", "machdep.cpu.leaf7_features")
        return frozenset(word for name in names for word in _sysctl(name).lower().split())
    return frozenset(_field("flags").split())


@lru_cache(maxsize=None)
def has_avx512() -> bool:
    """Return whether oneDNN uses AVX-512 here. Without it, it has other kernels and no bfloat16.

    DNNL_MAX_CPU_ISA counts as it is set at the first call; oneDNN reads it at its first operator.
    """
    return AVX512 <= flags() and os.environ.get(MAX_ISA) not in WITHOUT_AVX512


def has_avx2() -> bool:
    """Return whether oneDNN uses AVX2 here, or AVX-512."""
    return "avx2" in flags() and os.environ.get(MAX_ISA) not in WITHOUT_AVX2


def threads() -> int:
    """Return the number of threads that MXNet computes an operator with.

    It is OMP_NUM_THREADS or, without it, half of the cores that the process may use.
    """
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if given.isdigit() and int(given) > 0:
        return int(given)
    return max(1, cores() // 2)


def cores() -> int:
    """Return the number of cores that the process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def model() -> str:
    """Return the CPU's name, as people know it."""
    name = _sysctl("machdep.cpu.brand_string") if sys.platform == "darwin" else _field("model name")
    return name or platform.processor() or platform.machine()


def _field(name: str) -> str:
    """Return what /proc/cpuinfo says about the first CPU, or '' if it has no such line."""
    try:
        text = PROC_CPUINFO.read_text("utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{name}\s*: *(.*)", text, re.MULTILINE)
    return found[1] if found else ""


def _sysctl(name: str) -> str:
    """Return what macOS reports under a name, or '' if it doesn't know the name."""
    try:
        return subprocess.check_output(
            ["sysctl", "-n", name], stderr=subprocess.DEVNULL, text=True
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""

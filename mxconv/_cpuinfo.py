"""What the CPU is and has, as the system tells it: no operator runs to find out.

oneDNN, which computes MXNet's convolutions, takes the newest instructions that the CPU has, up to
the ones that the variable DNNL_MAX_CPU_ISA names.
"""

import os
import platform
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

PROC_CPUINFO = Path("/proc/cpuinfo")
MAX_ISA = "DNNL_MAX_CPU_ISA"
# Its values that leave AVX-512 out; Xeon Phi's two lack some of it. Other spellings are ignored.
WITHOUT_AVX512 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_MIC", "AVX512_MIC_4OPS")
AVX512 = {"avx512f", "avx512bw", "avx512vl", "avx512dq"}  # what oneDNN calls avx512_core


@lru_cache(maxsize=None)
def flags():
    """The CPU's features in small letters, as Linux names them; empty where none are told."""
    if sys.platform == "darwin":
        names = ("machdep.cpu.features", "machdep.cpu.leaf7_features")
        return frozenset(word for name in names for word in _sysctl(name).lower().split())
    return frozenset(_field("flags").split())


@lru_cache(maxsize=None)
def has_avx512():
    """Whether oneDNN has AVX-512 here; without it, it has no bfloat16, and other kernels.

    The variable counts as it is when this is asked first; oneDNN reads it at its first operator.
    """
    return AVX512 <= flags() and os.environ.get(MAX_ISA) not in WITHOUT_AVX512


def model():
    """The CPU's name, for people."""
    name = _sysctl("machdep.cpu.brand_string") if sys.platform == "darwin" else _field("model name")
    return name or platform.processor() or platform.machine()


def _field(name):
    """What /proc/cpuinfo says of the first CPU; an empty text where there is no such line."""
    try:
        text = PROC_CPUINFO.read_text("utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{name}\s*: *(.*)", text, re.MULTILINE)
    return found[1] if found else ""


def _sysctl(name):
    """What macOS says of itself; an empty text where it has no such name."""
    try:
        return subprocess.check_output(
            ["sysctl", "-n", name], stderr=subprocess.DEVNULL, universal_newlines=True
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""

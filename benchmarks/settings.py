"""Settings: a kind of CPU kernels and a number of threads, each measured in its own process."""

import json
import os
import subprocess
import sys
from pathlib import Path

from mxconv import _cpuinfo

HERE = Path(__file__).resolve().parent
# The environment of each setting. PyTorch's oneDNN reads the first two, and ATen the third.
AVX2 = {"DNNL_MAX_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
KERNELS = {"avx512": {}, "avx2": AVX2}
# MXNet alone would take half of the cores that the system has, so all of them are asked for.
THREADS = {"one": {"OMP_NUM_THREADS": "1"}, "all": {"OMP_NUM_THREADS": str(_cpuinfo.cores())}}


def add_arguments(parser, about_threads):
    """Add --kernels and --threads, whose defaults are this CPU's best kernels and one thread."""
    own = "avx512" if _cpuinfo.has_avx512() else "avx2"
    add = parser.add_argument
    add("--kernels", nargs="+", choices=KERNELS, default=[own], help="of oneDNN (%(default)s)")
    add("--threads", nargs="+", choices=THREADS, default=["one"], help=about_threads)


def chosen(options):
    """Yield the kernels and threads of each setting that this CPU has, and say which it lacks."""
    for kernels in options.kernels:
        if kernels == "avx512" and not _cpuinfo.has_avx512():
            print("not measured, this CPU lacks them: AVX-512 kernels", file=sys.stderr)
            continue
        for threads in options.threads:
            print(f"{kernels}, threads: {threads}", file=sys.stderr)
            yield kernels, threads


def measured(script, kernels, threads, **job):
    """What a script of this folder prints as JSON, given a job as JSON, or None if it fails."""
    variables = {name for setting in (*KERNELS.values(), *THREADS.values()) for name in setting}
    inherited = {name: value for name, value in os.environ.items() if name not in variables}
    done = subprocess.run(
        [sys.executable, str(HERE / script)],
        env={**inherited, **KERNELS[kernels], **THREADS[threads]},
        input=json.dumps({"threads": threads, **job}),
        stdout=subprocess.PIPE,
        text=True,
    )
    return None if done.returncode else json.loads(done.stdout)

"""Run a training script with MXNet's parameter server, and end the job if a process is lost.

    python examples/launch.py --workers 2 examples/digits_distributed.py --epochs 5

starts a scheduler, the servers and the workers, each in its own process, and waits for them. If a
process is lost, MXNet waits forever without a message. Here the whole job ends at once, with a
message and status 1. It also ends when this process does. docs/distributed.md lists the variables
that distribute a job over several machines.
"""

import argparse
import contextlib
import ctypes
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import traceback

LOOPBACK = "127.0.0.1"
GRACE = 10  # seconds for the scheduler and the servers to end after the last worker
PR_SET_PDEATHSIG = 1


def launch(script, arguments=(), workers=2, servers=1):
    """Run `script` with `arguments` in every worker: 0 if all processes succeed, else 1.

    DMLC_* variables that are already set are kept. They can join the `workers` and `servers` of
    this machine with those of others; the scheduler runs where DMLC_NODE_HOST equals
    DMLC_PS_ROOT_URI.
    """
    if "DMLC_PS_ROOT_URI" in os.environ and "DMLC_NODE_HOST" not in os.environ:
        raise ValueError(
            f"DMLC_PS_ROOT_URI is set to {os.environ['DMLC_PS_ROOT_URI']}: expected "
            "DMLC_NODE_HOST too, the address of this machine"
        )
    environment = {
        "DMLC_PS_ROOT_URI": LOOPBACK,
        "DMLC_PS_ROOT_PORT": str(_free_port()),
        "DMLC_NODE_HOST": LOOPBACK,
        "DMLC_NUM_WORKER": str(workers),
        "DMLC_NUM_SERVER": str(servers),
        **os.environ,
    }
    schedulers = int(environment["DMLC_NODE_HOST"] == environment["DMLC_PS_ROOT_URI"])
    command = [sys.executable, __file__, "--node-of", str(os.getpid()), script, *arguments]
    processes = []
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        for role in ["scheduler"] * schedulers + ["server"] * servers + ["worker"] * workers:
            process = subprocess.Popen(
                command,
                env={**environment, "DMLC_ROLE": role},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            processes.append((role, process))
            print(f"launch: {role} is process {process.pid}", flush=True)
        problem = _supervise(processes)
        if problem:
            print(
                f"launch: {problem}; MXNet would wait forever, so the job ends here",
                file=sys.stderr,
            )
        return int(bool(problem))
    finally:
        for _, process in processes:  # and the processes that they have started
            with contextlib.suppress(ProcessLookupError, PermissionError):  # they have ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _supervise(processes):
    """Wait until every process has ended with status 0: None, or what went wrong first."""
    deadline = None
    while True:
        statuses = [process.poll() for _, process in processes]
        for (role, process), status in zip(processes, statuses):
            if status:
                end = (
                    f"was killed by {signal.Signals(-status).name}"
                    if status < 0
                    else f"ended with status {status}"
                )
                return f"{role} {process.pid} {end}"
        if None not in statuses:
            return None
        running = [role for (role, _), status in zip(processes, statuses) if status is None]
        if "worker" not in running:
            deadline = deadline or time.monotonic() + GRACE
            if time.monotonic() > deadline:
                return f"every worker has ended, but not the {' and '.join(running)}"
        time.sleep(0.1)


def node(launcher, script, arguments):
    """Run as DMLC_ROLE says: a worker that runs the script, or MXNet's scheduler or server."""
    if sys.platform == "linux":  # the kernel kills this process when the launcher ends
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        sys.exit("the launcher has ended")
    if os.environ["DMLC_ROLE"] != "worker":
        import mxconv  # noqa: F401  (importing MXNet runs the scheduler or server to its end)
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            raise
        traceback.print_exc()
        sys.stdout.flush()
        os._exit(1)  # a normal exit would wait for the other workers in the KVStore's destructor


def _free_port():
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return free.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="on this machine (%(default)s)")
    parser.add_argument("--servers", type=int, default=1, help="on this machine (%(default)s)")
    parser.add_argument("--node-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    a = parser.parse_args()
    if a.node_of:
        return node(a.node_of, a.script, a.arguments)
    try:
        return launch(a.script, a.arguments, a.workers, a.servers)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())

"""Run a training script with MXNet's parameter server, and end it all when a process is lost.

    python examples/launch.py --workers 2 examples/digits_distributed.py --epochs 5

starts a scheduler, the servers and the workers, each in a process of its own, and waits for them.
MXNet waits in silence and for ever for a process that is gone; here the whole job ends at once,
with a message and status 1. It ends as well when this process does. docs/distributed.md has the
variables that spread a job over several machines.
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
GRACE = 10  # seconds that the scheduler and the servers have to end after the last worker
PR_SET_PDEATHSIG = 1


def launch(script, arguments=(), workers=2, servers=1):
    """Run `script` with `arguments` in every worker: 0 when all processes have ended well, else 1.

    DMLC_* variables that are set already are kept, so that they can join this machine's `workers`
    and `servers` to those of others; the scheduler runs where DMLC_NODE_HOST is DMLC_PS_ROOT_URI.
    """
    if "DMLC_PS_ROOT_URI" in os.environ and "DMLC_NODE_HOST" not in os.environ:
        raise ValueError(
            "DMLC_PS_ROOT_URI is set to %(DMLC_PS_ROOT_URI)s: expected DMLC_NODE_HOST "
            "too, this machine's own address" % os.environ
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
                f"launch: {problem}; MXNet would wait for ever, so the job ends here",
                file=sys.stderr,
            )
        return int(bool(problem))
    finally:
        for _, process in processes:  # with the processes that they have started themselves
            with contextlib.suppress(ProcessLookupError, PermissionError):  # they have ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _supervise(processes):
    """Wait until every process has ended with status 0, or say what went wrong before."""
    patience = None
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
            patience = patience or time.monotonic() + GRACE
            if time.monotonic() > patience:
                return f"every worker has ended, but the {' and '.join(running)} did not follow"
        time.sleep(0.1)


def node(launcher, script, arguments):
    """Be what DMLC_ROLE says: a worker that runs the script, or MXNet's scheduler or server."""
    if sys.platform == "linux":  # the kernel kills this process when the launcher ends
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        sys.exit("the launcher has ended")
    if os.environ["DMLC_ROLE"] != "worker":
        import mxconv  # noqa: F401  (MXNet's import stays in the role until the job is done)
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException as error:
        if isinstance(error, SystemExit) and not error.code:
            raise
        traceback.print_exc()
        sys.stdout.flush()
        os._exit(1)  # an ordinary end would wait for the other workers in the KVStore's destructor


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

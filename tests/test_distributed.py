"""Whole jobs on loopback, killed and resumed; 127.0.0.2 plays the second machine."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mxnet import autograd, nd

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))
import digits  # noqa: E402
import digits_distributed  # noqa: E402
import launch  # noqa: E402
from mxconv import MultiChannelConv2D  # noqa: E402

pytestmark = pytest.mark.distributed

LIMIT = 60  # seconds after which anything counts as hanging
EPOCHS, IMAGES = 12, 320
TRAINING = [
    str(EXAMPLES / "digits_distributed.py"),
    "--epochs",
    str(EPOCHS),
    "--images",
    str(IMAGES),
]
ON_LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="needs Linux: PR_SET_PDEATHSIG, and all of 127.0.0.0/8"
)


class Job:
    """A running launcher, and the output of it and its processes."""

    def __init__(self, log, *command, **environment):
        self.log = log
        with open(str(log), "wb") as output:
            self.launcher = subprocess.Popen(
                [sys.executable, *command],
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            )

    def output(self):
        return self.log.read_text()

    def processes(self, role=r"\w+"):
        return [int(pid) for pid in re.findall(rf"{role} is process (\d+)\n", self.output())]

    def status(self):
        """The launcher's exit status; everything that it started has to have ended too."""
        status = self.launcher.wait(LIMIT)
        assert not any(map(alive, self.processes()))
        return status


@pytest.fixture
def start(tmp_path):
    """Starts jobs, and ends them after the test."""
    jobs = []

    def start(*command, **environment):
        jobs.append(Job(tmp_path / f"{len(jobs)}.log", *map(str, command), **environment))
        return jobs[-1]

    yield start
    end(jobs)


def end(jobs):
    for job in jobs:
        for pid in [job.launcher.pid, *job.processes()]:
            if alive(pid):
                os.killpg(pid, signal.SIGKILL)
        job.launcher.wait(LIMIT)


def alive(pid):
    """Whether a process is running; a zombie isn't."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it has just ended, or there is no /proc
        return sys.platform != "linux"


def wait_for(condition, job):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert job.launcher.poll() is None and time.monotonic() < deadline, job.output()
        time.sleep(0.01)


def epochs_done(folder):
    path = folder / "epochs"
    return int(path.read_text()) if path.exists() else 0


def weights(folder):
    arrays = nd.load(str(folder / f"net-{epochs_done(folder) % 2}.params"))
    return {name: array.asnumpy() for name, array in arrays.items()}


def assert_equal(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A job that runs to its end, and its final weights."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job = Job(folder / "log", *TRAINING, "--checkpoint", str(folder / "checkpoint"))
    try:
        status = job.status()
    finally:
        end([job])
    assert status == 0, job.output()
    return job, weights(folder / "checkpoint")


@pytest.mark.slow
def test_workers_train_like_one_process(undisturbed):
    """With two workers; the gradients of more are summed in the order in which they arrive."""
    job, ours = undisturbed
    alone = digits.lenet(MultiChannelConv2D)
    digits.train(alone, [array[:IMAGES] for array in digits.load()[0]], EPOCHS)
    expected = alone.collect_params().values()
    assert len(ours) == len(expected)
    for array, parameter in zip(ours.values(), expected):
        np.testing.assert_allclose(
            array, parameter.data().asnumpy(), rtol=0, atol=digits_distributed.TOLERANCE
        )
    assert "the workers' weights are equal" in job.output()
    assert [len(job.processes(role)) for role in ("scheduler", "server", "worker")] == [1, 1, 2]


@pytest.mark.slow
def test_a_killed_process_ends_the_job_and_resuming_gives_the_same_weights(
    undisturbed, start, tmp_path
):
    folder = tmp_path / "checkpoint"
    command = [*TRAINING, "--checkpoint", folder]
    done = 0
    for role in ("worker", "server"):
        job = start(*command, *["--resume"] * bool(done))
        wait_for(lambda goal=done + 2: epochs_done(folder) >= goal, job)
        victim = job.processes(role)[0]
        os.kill(victim, signal.SIGKILL)
        assert job.status() == 1
        assert f"{role} {victim} was killed by SIGKILL" in job.output()
        done = epochs_done(folder)
        assert f"with --resume to continue after epoch {done}" in job.output()
        assert done < EPOCHS

    job = start(EXAMPLES / "launch.py", "--workers", 2, *command, "--resume")
    assert job.status() == 0, job.output()
    assert epochs_done(folder) == EPOCHS
    assert_equal(weights(folder), undisturbed[1])


@pytest.mark.slow
def test_ctrl_c_ends_the_job_and_says_how_to_resume(start, tmp_path):
    folder = tmp_path / "checkpoint"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in case it is ignored
    try:
        job = start(*TRAINING, "--checkpoint", folder)
    finally:
        signal.signal(signal.SIGINT, before)
    wait_for(lambda: epochs_done(folder) >= 1, job)
    job.launcher.send_signal(signal.SIGINT)
    assert job.status() == 1
    assert "Traceback" not in job.output()
    assert job.output().splitlines()[-1] == (
        "digits_distributed: repeat the command with --resume to continue after epoch "
        f"{epochs_done(folder)}, from {folder}"
    )


@pytest.mark.slow
@ON_LINUX
def test_a_lost_process_on_another_machine_ends_the_job_too(undisturbed, start, tmp_path):
    """A launcher can't see the processes of the other machine, but its own worker times out."""

    def both(*arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return [
            start(
                EXAMPLES / "launch.py",
                "--workers",
                1,
                "--servers",
                1,
                *TRAINING,
                "--checkpoint",
                tmp_path / "checkpoint",
                "--stall",
                10,
                *arguments,
                DMLC_PS_ROOT_URI="127.0.0.1",
                DMLC_PS_ROOT_PORT=str(port),
                DMLC_NUM_WORKER="2",
                DMLC_NUM_SERVER="2",
                DMLC_NODE_HOST=host,
            )
            for host in ("127.0.0.1", "127.0.0.2")
        ]

    jobs = both()
    wait_for(lambda: epochs_done(tmp_path / "checkpoint") >= 2, jobs[0])
    os.kill(jobs[1].processes("worker")[0], signal.SIGKILL)
    assert [job.status() for job in jobs] == [1, 1]
    assert "was killed by SIGKILL" in jobs[1].output()
    assert "Timeout" in jobs[0].output() and "ended with status 1" in jobs[0].output()
    assert 2 <= epochs_done(tmp_path / "checkpoint") < EPOCHS

    jobs = both("--resume")
    assert [job.status() for job in jobs] == [0, 0], jobs[0].output() + jobs[1].output()
    assert [len(job.processes("scheduler")) for job in jobs] == [1, 0]
    assert_equal(weights(tmp_path / "checkpoint"), undisturbed[1])


@pytest.fixture
def sleeping(start, tmp_path):
    """A job whose two workers only sleep."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path)!r}, f'{{os.getpid()}}.worker').touch()\n"
        "time.sleep(1000)\n"
    )
    job = start(EXAMPLES / "launch.py", script)
    wait_for(lambda: len(list(tmp_path.glob("*.worker"))) == 2, job)
    assert len(job.processes()) == 4 and all(map(alive, job.processes()))
    return job


@pytest.mark.slow
@ON_LINUX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_launcher(number, sleeping):
    sleeping.launcher.send_signal(number)
    assert sleeping.launcher.wait(LIMIT) != 0
    deadline = time.monotonic() + LIMIT
    while any(map(alive, sleeping.processes())):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_scheduler_ends_the_job(sleeping):
    (victim,) = sleeping.processes("scheduler")
    os.kill(victim, signal.SIGKILL)
    assert sleeping.status() == 1
    assert f"scheduler {victim} was killed by SIGKILL" in sleeping.output()


@pytest.mark.slow
def test_a_worker_that_fails_ends_the_job(start, tmp_path):
    """A normal exit would wait in MXNet for the other workers, which wait for its gradients."""
    script = tmp_path / "script.py"
    script.write_text(
        "import mxconv, mxnet as mx\n"
        "kv = mx.kv.create('dist_sync')\n"
        "if kv.rank == 1:\n"
        "    raise ArithmeticError('one of the workers')\n"
        "kv.init(0, mx.nd.ones(1))\n"
    )
    job = start(EXAMPLES / "launch.py", script)
    assert job.status() == 1
    assert "ArithmeticError: one of the workers" in job.output()
    assert re.search(r"launch: worker \d+ ended with status 1;", job.output())


def test_servers_that_do_not_end_after_the_workers_are_noticed(monkeypatch):
    monkeypatch.setattr(launch, "GRACE", 0.2)
    worker = subprocess.Popen([sys.executable, "-c", ""])
    server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        problem = launch._supervise([("server", server), ("worker", worker)])
    finally:
        server.kill()
        server.wait()
    assert problem == "every worker has ended, but not the server"


@pytest.mark.slow
def test_a_checkpoint_is_complete_whenever_its_writer_is_stopped(start, tmp_path):
    """A stopped process leaves its files as a killed one would, and can be stopped repeatedly."""
    script = tmp_path / "script.py"
    script.write_text(
        "import itertools, sys\n"
        "from pathlib import Path\n"
        f"sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "from digits_distributed import *\n"
        "net, trainer = start()\n"
        "with autograd.record():\n"
        "    net(nd.ones((1, 1, 8, 8))).backward()\n"
        "trainer.update(1)\n"
        "for epochs in itertools.count(1):\n"
        "    for parameter in net.collect_params().values():\n"
        "        parameter.data()[:] = epochs\n"
        f"    save(Path({str(tmp_path / 'checkpoint')!r}), net, trainer, epochs)\n"
    )
    job = start(script)
    wait_for(lambda: epochs_done(tmp_path / "checkpoint") >= 2, job)
    seen = set()

    def found_complete_ten_times():
        job.launcher.send_signal(signal.SIGSTOP)
        net, trainer = digits_distributed.start()
        with autograd.train_mode():
            net(nd.ones((1, 1, 8, 8)))
        epochs = digits_distributed.restore(tmp_path / "checkpoint", net, trainer)
        for parameter in net.collect_params().values():
            assert (parameter.data() == epochs).asnumpy().all()
        seen.add(epochs)
        job.launcher.send_signal(signal.SIGCONT)
        return len(seen) == 10

    wait_for(found_complete_ten_times, job)


def test_resuming_without_a_checkpoint_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(
        sys, "argv", ["digits_distributed.py", "--resume", "--checkpoint", str(tmp_path)]
    )
    message = digits_distributed.main()
    assert message == f"digits_distributed: there is no checkpoint in {tmp_path} to resume from"


def test_a_machine_among_others_needs_its_own_address(monkeypatch):
    monkeypatch.setenv("DMLC_PS_ROOT_URI", "10.0.0.1")
    monkeypatch.delenv("DMLC_NODE_HOST", raising=False)
    with pytest.raises(ValueError, match="set to 10.0.0.1: expected DMLC_NODE_HOST too"):
        launch.launch("script.py")

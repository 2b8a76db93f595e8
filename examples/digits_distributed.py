"""The training of digits_multi_device.py on several workers, with MXNet's own parameter server.

    python examples/digits_distributed.py --workers 2

starts the whole job and, when it is done, compares it with a training in one process. If a process
of the job is killed the rest ends, and the same command with --resume goes on after the last epoch
that is in the checkpoint. docs/distributed.md has the rest, several machines among it.
"""

import argparse
import faulthandler
import os
import sys
from pathlib import Path

import digits  # first: it sets how many threads MXNet uses
from digits_multi_device import TOLERANCE, weights_differ
from launch import launch
from mxconv import MultiChannelConv2D

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon, init, nd
from tqdm import tqdm

CHECKPOINT = Path(__file__).resolve().parent / "output" / "digits_distributed"


def work(arguments):
    """Be one worker: train on a share of every batch, from the checkpoint on if there is to be one.

    The KVStore adds up the workers' gradients, and every worker takes the same step with the sum,
    so the momenta are the workers' own and can be saved. A Trainer's default with dist_sync leaves
    them to the server, which has no way to save them; `grad()` then holds weights after a step.
    """
    watch(arguments)
    kv = mx.kv.create("dist_sync")
    X, y = (array[: arguments.images] for array in digits.load()[0])
    net, trainer = start()
    with autograd.train_mode():  # to predict, oneDNN reorders kernels, and KVStore can't send them
        net(X[:1])  # tells the layers their shapes, so that the parameters exist
    parameters = list(net.collect_params().values())
    done = restore(arguments.checkpoint, net, trainer) if arguments.resume else 0

    # Here, before a gradient can exist: the push of one may overtake the pull in its key's first
    # broadcast, which then brings the sum of the gradients for weights (70 of 200 in a trial). A
    # Trainer with dist_sync and update_on_kvstore=False broadcasts in its first step, too late.
    for key, parameter in enumerate(parameters):
        kv.broadcast(key, parameter.data(), parameter.data())
    require_equal(kv, len(parameters), nd.array([done]), "epoch to resume from")

    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    random = np.random.RandomState(digits.SEED)
    orders = [random.permutation(len(X)) for _ in range(arguments.epochs)]
    epochs = tqdm(
        range(done, arguments.epochs),
        initial=done,
        total=arguments.epochs,
        desc=f"{kv.num_workers} workers",
        unit="epoch",
        disable=kv.rank > 0 or None,  # None: only on a terminal
    )
    for epoch in epochs:
        for batch in np.array_split(orders[epoch], len(X) // digits.BATCH):
            watch(arguments)
            share = nd.array(batch[kv.rank :: kv.num_workers])
            with autograd.record():
                loss = loss_of(net(X.take(share)), y.take(share))
            loss.backward()
            for key, parameter in enumerate(parameters):
                kv.pushpull(key, parameter.grad(), priority=-key)
            trainer.update(len(batch))
            nd.waitall()  # so that the watch is over steps that are done, not queued
        if kv.rank == 0:
            save(arguments.checkpoint, net, trainer, epoch + 1)

    for key, parameter in enumerate(parameters, len(parameters) + 1):
        require_equal(kv, key, parameter.data(), parameter.name)


def start():
    """The network as every run begins, and its Trainer, which leaves the gradients alone."""
    mx.random.seed(digits.SEED)
    net = digits.lenet(MultiChannelConv2D)
    net.initialize(init.Xavier())
    net.hybridize()
    return net, gluon.Trainer(net.collect_params(), "sgd", digits.SGD, kvstore=None)


def watch(arguments):
    """End this process, with a traceback, unless it calls again within `--stall` seconds.

    The launcher sees the processes that end on its own machine; this is for those that hang or end
    on another, since MXNet would wait for them in silence.
    """
    faulthandler.dump_traceback_later(arguments.stall, exit=True)


def require_equal(kv, key, array, name):
    """End the job unless `array` equals worker 0's; each question needs a new `key`."""
    theirs = nd.zeros_like(array)
    kv.broadcast(key, array, theirs)
    if not np.array_equal(array.asnumpy(), theirs.asnumpy()):
        sys.exit(f"digits_distributed: the {name} of worker {kv.rank} is not worker 0's")


def save(folder, net, trainer, epochs):
    """Write weights and momenta after so many epochs; the file `epochs` is replaced at the end.

    The two files before it take turns with those of the last epoch, so whenever this is killed,
    `epochs` belongs to files that are whole. It is the position in the shuffled data as well: the
    orders of all epochs follow from the seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    net.save_parameters(str(folder / f"net-{epochs % 2}.params"))
    trainer.save_states(str(folder / f"trainer-{epochs % 2}.states"))
    (folder / "epochs.new").write_text(str(epochs))
    os.replace(str(folder / "epochs.new"), str(folder / "epochs"))


def restore(folder, net, trainer):
    """Read what `save` wrote: the number of epochs that are done."""
    epochs = int((folder / "epochs").read_text())
    net.load_parameters(str(folder / f"net-{epochs % 2}.params"))
    trainer.load_states(str(folder / f"trainer-{epochs % 2}.states"))
    return epochs


def compare(arguments):
    """Train in this one process on the joined batches: what is wrong with the job's weights."""
    data, test = digits.load()
    data = [array[: arguments.images] for array in data]
    net, trainer = start()
    restore(arguments.checkpoint, net, trainer)
    alone = digits.lenet(MultiChannelConv2D)
    digits.train(alone, data, arguments.epochs, title="one process")
    difference = weights_differ(net, alone)
    print(
        f"the workers' weights are equal, with an accuracy of {digits.accuracy(net, test):.3f}; "
        f"they differ from one process's by {difference:.1e}"
    )
    if not difference <= TOLERANCE:
        return f"digits_distributed: one process's weights differ by more than {TOLERANCE}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="on this machine (%(default)s)")
    parser.add_argument("--servers", type=int, default=1, help="on this machine (%(default)s)")
    parser.add_argument("--epochs", type=int, default=digits.EPOCHS, help="(%(default)s)")
    parser.add_argument("--images", type=int, help="train on the first so many only")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=CHECKPOINT,
        metavar="FOLDER",
        help="one that all machines see (%(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument(
        "--stall",
        type=float,
        default=60,
        metavar="SECONDS",
        help="end a worker whose step takes longer (%(default)s)",
    )
    arguments = parser.parse_args()
    if os.environ.get("DMLC_ROLE") == "worker":
        return work(arguments)
    epochs = arguments.checkpoint / "epochs"
    if not arguments.resume:
        epochs.unlink(missing_ok=True)  # it is of a run before
    elif not epochs.exists():
        return f"digits_distributed: {arguments.checkpoint} holds no checkpoint to resume from"
    try:
        if launch(__file__, sys.argv[1:], arguments.workers, arguments.servers) == 0:
            return compare(arguments)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # ends the line of ^C, or of a progress bar
    if not epochs.exists():
        return "digits_distributed: the first epoch was not done, there is no checkpoint"
    return (
        f"digits_distributed: repeat the command with --resume to go on after epoch "
        f"{epochs.read_text()}, from {arguments.checkpoint}"
    )


if __name__ == "__main__":
    sys.exit(main())

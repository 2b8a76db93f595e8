"""The training of digits.py on several workers, with MXNet's own parameter server.

    python examples/digits_distributed.py --workers 2

runs the whole job, then compares its weights with those of a training in one process. If a process
of the job is killed, the others end too, and the same command with --resume continues after the
last epoch in the checkpoint. docs/distributed.md explains the details and the use of several
machines.
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
    """Run one worker: train on a share of every batch, with `--resume` from the checkpoint on.

    The KVStore adds up the workers' gradients, and every worker takes the same step with the sum.
    So each worker has the momenta and can save them. By default, a Trainer with dist_sync keeps
    them on the server, which can't save them, and `grad()` holds weights after a step.
    """
    watch(arguments)
    kv = mx.kv.create("dist_sync")
    X, y = (array[: arguments.images] for array in digits.load()[0])
    net, trainer = start()
    # In inference mode oneDNN would reorder the kernels, and the KVStore couldn't send them.
    with autograd.train_mode():
        net(X[:1])  # infers the shapes of the layers, so that the parameters exist
    parameters = list(net.collect_params().values())
    done = restore(arguments.checkpoint, net, trainer) if arguments.resume else 0

    # Broadcast before any gradient exists. The push of a gradient can overtake the pull in the
    # first broadcast of its key, which then returns the sum of the gradients instead of the weights
    # (in 70 of 200 trials). A Trainer with dist_sync and update_on_kvstore=False broadcasts in its
    # first step, which is too late.
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
            nd.waitall()  # so that `watch` times steps that are done, not queued
        if kv.rank == 0:
            save(arguments.checkpoint, net, trainer, epoch + 1)

    for key, parameter in enumerate(parameters, len(parameters) + 1):
        require_equal(kv, key, parameter.data(), parameter.name)


def start():
    """The network with its initial weights, and a Trainer that doesn't send gradients."""
    mx.random.seed(digits.SEED)
    net = digits.lenet(MultiChannelConv2D)
    net.initialize(init.Xavier())
    net.hybridize()
    return net, gluon.Trainer(net.collect_params(), "sgd", digits.SGD, kvstore=None)


def watch(arguments):
    """End this process, with a traceback, unless it calls this again within `--stall` seconds.

    The launcher notices processes that end on its own machine. This function handles those that
    hang or that end on another machine, for which MXNet would wait without a message.
    """
    faulthandler.dump_traceback_later(arguments.stall, exit=True)


def require_equal(kv, key, array, name):
    """End the job unless `array` equals that of worker 0; each call needs a new `key`."""
    theirs = nd.zeros_like(array)
    kv.broadcast(key, array, theirs)
    if not np.array_equal(array.asnumpy(), theirs.asnumpy()):
        sys.exit(f"digits_distributed: the {name} of worker {kv.rank} differs from worker 0's")


def save(folder, net, trainer, epochs):
    """Write weights and momenta after so many epochs, then replace the file `epochs`.

    Even and odd epochs have their own files. So whenever this process is killed, the files that
    `epochs` refers to are complete. The number also gives the position in the shuffled data, since
    the order in each epoch follows from the seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    net.save_parameters(str(folder / f"net-{epochs % 2}.params"))
    trainer.save_states(str(folder / f"trainer-{epochs % 2}.states"))
    (folder / "epochs.new").write_text(str(epochs))
    os.replace(str(folder / "epochs.new"), str(folder / "epochs"))


def restore(folder, net, trainer):
    """Read what `save` wrote, and return the number of epochs done."""
    epochs = int((folder / "epochs").read_text())
    net.load_parameters(str(folder / f"net-{epochs % 2}.params"))
    trainer.load_states(str(folder / f"trainer-{epochs % 2}.states"))
    return epochs


def compare(arguments):
    """Train in this process on whole batches: what is wrong with the job's weights, or None."""
    data, test = digits.load()
    data = [array[: arguments.images] for array in data]
    net, trainer = start()
    restore(arguments.checkpoint, net, trainer)
    alone = digits.lenet(MultiChannelConv2D)
    digits.train(alone, data, arguments.epochs, title="one process")
    difference = weights_differ(net, alone)
    print(
        f"the workers' weights are equal, with an accuracy of {digits.accuracy(net, test):.3f}; "
        f"they differ from those of one process by {difference:.1e}"
    )
    if not difference <= TOLERANCE:
        return f"digits_distributed: the weights of one process differ by more than {TOLERANCE}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="on this machine (%(default)s)")
    parser.add_argument("--servers", type=int, default=1, help="on this machine (%(default)s)")
    parser.add_argument("--epochs", type=int, default=digits.EPOCHS, help="(%(default)s)")
    parser.add_argument("--images", type=int, help="train only on this many images (all)")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=CHECKPOINT,
        metavar="FOLDER",
        help="a folder that all machines can access (%(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint")
    parser.add_argument(
        "--stall",
        type=float,
        default=60,
        metavar="SECONDS",
        help="end a worker if one of its steps takes longer (%(default)s)",
    )
    arguments = parser.parse_args()
    if os.environ.get("DMLC_ROLE") == "worker":
        return work(arguments)
    epochs = arguments.checkpoint / "epochs"
    if not arguments.resume:
        epochs.unlink(missing_ok=True)  # from an earlier run
    elif not epochs.exists():
        return (
            f"digits_distributed: there is no checkpoint in {arguments.checkpoint} to resume from"
        )
    try:
        if launch(__file__, sys.argv[1:], arguments.workers, arguments.servers) == 0:
            return compare(arguments)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # to end the line of ^C, or of a progress bar
    if not epochs.exists():
        return "digits_distributed: the first epoch was not finished, so there is no checkpoint"
    return (
        f"digits_distributed: repeat the command with --resume to continue after epoch "
        f"{epochs.read_text()}, from {arguments.checkpoint}"
    )


if __name__ == "__main__":
    sys.exit(main())

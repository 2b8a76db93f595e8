"""The training of digits.py on several devices, compared with that on one device.

The devices are the machine's GPUs, or two CPU contexts, which MXNet treats like two devices. Each
has a replica of the parameters and works on a share of every batch. The Trainer adds up the
gradients, so the weights equal those of the whole batch on one device, up to rounding.
"""

import argparse
import sys

import digits  # first: it sets how many threads MXNet uses
from mxconv import MultiChannelConv2D

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon, init, nd
from mxnet.gluon.utils import split_and_load
from tqdm import tqdm

TOLERANCE = 1e-5  # of weights of about 0.1; 5e-7 was measured, on 2 and on 3 contexts


def devices():
    """All GPUs, or two CPU contexts if there is no GPU."""
    return [mx.gpu(i) for i in range(mx.context.num_gpus())] or [mx.cpu(0), mx.cpu(1)]


def train(net, data, contexts, epochs=digits.EPOCHS):
    """Like `digits.train`, but on all of `contexts`: the mean loss of each epoch."""
    mx.random.seed(digits.SEED)
    random = np.random.RandomState(digits.SEED)
    net.initialize(init.Xavier(), ctx=contexts, force_reinit=True)
    net.hybridize()
    # kvstore="device", the default, adds up the gradients of all devices. With kvstore=None, every
    # replica would learn only from its own share of the data, without a warning.
    trainer = gluon.Trainer(net.collect_params(), "sgd", digits.SGD, kvstore="device")
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    X, y = data
    losses = []
    names = ", ".join(map(str, contexts))
    for _ in tqdm(range(epochs), desc=names, unit="epoch", disable=None):
        total = 0
        for batch in np.array_split(random.permutation(len(X)), len(X) // digits.BATCH):
            batch = nd.array(batch)
            shares = zip(
                split_and_load(X.take(batch), contexts, even_split=False),
                split_and_load(y.take(batch), contexts, even_split=False),
            )
            with autograd.record():
                parts = [loss_of(net(X_part), y_part) for X_part, y_part in shares]
            autograd.backward(parts)
            trainer.step(len(batch))
            total = total + sum(part.sum().as_in_context(mx.cpu()) for part in parts)
        losses.append(total.asscalar() / len(X))
    return losses


def replicas_differ(net):
    """The largest difference between the parameters on different devices."""
    return max(
        np.abs(replica.asnumpy() - parameter.list_data()[0].asnumpy()).max()
        for parameter in net.collect_params().values()
        for replica in parameter.list_data()
    )


def weights_differ(net, other):
    """The largest difference between the parameters of two networks."""
    return max(
        np.abs(ours.list_data()[0].asnumpy() - theirs.list_data()[0].asnumpy()).max()
        for ours, theirs in zip(net.collect_params().values(), other.collect_params().values())
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=digits.EPOCHS, help="(%(default)s)")
    epochs = parser.parse_args().epochs
    data, test = digits.load()
    contexts = devices()
    net, alone = digits.lenet(MultiChannelConv2D), digits.lenet(MultiChannelConv2D)
    losses = train(net, data, contexts, epochs)
    train(alone, data, contexts[:1], epochs)
    spread, difference = replicas_differ(net), weights_differ(net, alone)
    net.collect_params().reset_ctx(mx.cpu())
    print(
        f"loss {losses[0]:.4f} in the first epoch, {losses[-1]:.4f} in the last; "
        f"accuracy {digits.accuracy(net, test):.3f}"
    )
    print(f"the replicas on {contexts} differ by {spread}")
    print(f"the weights differ from those of one device by {difference:.1e}")
    if spread != 0:
        return "digits_multi_device: the replicas are not equal"
    if not difference <= TOLERANCE:
        return f"digits_multi_device: the weights of one device differ by more than {TOLERANCE}"


if __name__ == "__main__":
    sys.exit(main())

"""A LeNet of MultiChannelConv2D learns digits with the same losses as one of nn.Conv2D.

Both networks start from the same seed and see the same batches, so their losses can differ only by
rounding.
"""

import argparse
import os
import sys

if "mxnet" not in sys.modules:  # it reads this once; images this small gain nothing from threads
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from mxconv import MultiChannelConv2D

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon, init, nd
from mxnet.gluon import nn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

SEED = 0
EPOCHS = 20
BATCH = 32
SGD = {"learning_rate": 0.04, "momentum": 0.9}
ACCURACY = 0.97  # to exceed, on the test images
TOLERANCE = 1e-4  # relative; float32 differs by 1e-6, a gradient that is 1 % off by 3e-4 or more


def load():
    """scikit-learn's 1,797 images of digits, 8 x 8 pixels; a quarter of each digit is for testing.

    Returns ``(X, y), (X_test, y_test)``: X is (n, 1, 8, 8) with values from 0 to 1, and y is (n,),
    the digits.
    """
    images, labels = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        images.reshape(-1, 1, 8, 8) / 16, labels, test_size=0.25, stratify=labels, random_state=SEED
    )
    return (nd.array(X), nd.array(y)), (nd.array(X_test), nd.array(y_test))


def lenet(conv):
    """A LeNet for 8 x 8 images whose convolutions `conv` makes, such as nn.Conv2D.

    As in the original LeNet, pooling averages and tanh is smooth. Where a maximum is taken,
    rounding can change which pixel that is, and the losses of two networks drift apart.
    """
    net = nn.HybridSequential()
    net.add(
        conv(16, kernel_size=5, padding=2, activation="tanh", in_channels=1),
        nn.AvgPool2D(),
        conv(32, kernel_size=3, padding=1, activation="tanh", in_channels=16),
        nn.Dense(120, activation="tanh"),
        nn.Dense(84, activation="tanh"),
        nn.Dense(10),
    )
    return net


def train(net, data, epochs=EPOCHS, title="training"):
    """Initialize `net` from the seed and train it on ``(X, y)``: the mean loss of each epoch."""
    mx.random.seed(SEED)
    order = np.random.RandomState(SEED)
    net.initialize(init.Xavier(), force_reinit=True)
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", SGD)
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    X, y = data
    losses = []
    for _ in tqdm(range(epochs), desc=title, unit="epoch", disable=None):
        total = 0
        for batch in np.array_split(order.permutation(len(X)), len(X) // BATCH):
            batch = nd.array(batch)
            with autograd.record():
                loss = loss_of(net(X.take(batch)), y.take(batch))
            loss.backward()
            trainer.step(len(batch))
            total = total + loss.sum()
        losses.append(total.asscalar() / len(X))
    return losses


def accuracy(net, data):
    """The share of the images in ``(X, y)`` whose digit `net` recognizes."""
    X, y = data
    return (net(X).argmax(axis=1) == y).mean().asscalar()


def verdict(losses, stock_losses, share, minimum=ACCURACY):
    """What is wrong with two networks' losses or the first one's accuracy: a line, or None."""
    if not np.allclose(losses, stock_losses, rtol=TOLERANCE, atol=0):
        return f"digits: the losses differ from those of nn.Conv2D by more than {TOLERANCE} of them"
    if not share > minimum:
        return f"digits: test accuracy {share:.4f}, expected more than {minimum}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="(%(default)s)")
    epochs = parser.parse_args().epochs
    training, test = load()
    print(f"{len(training[0])} images to train on, {len(test[0])} to test")
    net = lenet(MultiChannelConv2D)
    losses = train(net, training, epochs, title="MultiChannelConv2D")
    stock_losses = train(lenet(nn.Conv2D), training, epochs, title="nn.Conv2D")
    print("mean loss  MultiChannelConv2D  nn.Conv2D")
    for epoch, (loss, stock_loss) in enumerate(zip(losses, stock_losses), 1):
        print(f"epoch {epoch:3}  {loss:18.7f}  {stock_loss:9.7f}")
    share = accuracy(net, test)
    print(f"test accuracy {share:.4f}")
    # After fewer epochs, a lower accuracy is no mistake.
    return verdict(losses, stock_losses, share, ACCURACY if epochs >= EPOCHS else 0)


if __name__ == "__main__":
    sys.exit(main())

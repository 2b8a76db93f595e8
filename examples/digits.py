"""A LeNet of MultiChannelConv2D learns digits with the losses of nn.Conv2D.

Both networks start from the same seed and see the same batches, so that their losses can differ by
rounding only.
"""

import os
import sys

if "mxnet" not in sys.modules:  # it reads this once; images this small only lose by sharing work
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
ACCURACY = 0.97  # at least, on images that were not trained on
TOLERANCE = 1e-4  # relative; float32 gives 1e-6, a gradient that is 1 % wrong 3e-4 or more


def load():
    """scikit-learn's 1,797 digits of 8 x 8 pixels, a quarter of every digit's kept for the test.

    Returns ``(X, y), (X_test, y_test)``: X is (n, 1, 8, 8) from 0 to 1, y is (n,), the digits.
    """
    images, labels = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        images.reshape(-1, 1, 8, 8) / 16, labels, test_size=0.25, stratify=labels, random_state=SEED
    )
    return (nd.array(X), nd.array(y)), (nd.array(X_test), nd.array(y_test))


def lenet(conv):
    """A LeNet for 8 x 8 images, its convolutions made by `conv`, such as nn.Conv2D.

    As in the first LeNet the pooling averages, and tanh is smooth: where a maximum is taken,
    rounding can change which pixel it is, and the losses of two networks drift apart.
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
    """Initialise `net` from the seed and train it on ``(X, y)``: the mean loss of every epoch."""
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
    """The share of the images in ``(X, y)`` whose digit `net` finds."""
    X, y = data
    return (net(X).argmax(axis=1) == y).mean().asscalar()


def verdict(losses, stock_losses, share):
    """What is wrong with two networks' losses and the first one's accuracy: a line, or None."""
    if not np.allclose(losses, stock_losses, rtol=TOLERANCE, atol=0):
        return f"digits: the losses differ from nn.Conv2D's by more than {TOLERANCE} of them"
    if not share > ACCURACY:
        return f"digits: test accuracy {share:.4f}, expected more than {ACCURACY}"
    return None


def main():
    training, test = load()
    print(f"{len(training[0])} images to train on, {len(test[0])} to test")
    net = lenet(MultiChannelConv2D)
    losses = train(net, training, title="MultiChannelConv2D")
    stock_losses = train(lenet(nn.Conv2D), training, title="nn.Conv2D")
    print("mean loss  MultiChannelConv2D  nn.Conv2D")
    for epoch, (loss, stock_loss) in enumerate(zip(losses, stock_losses), 1):
        print(f"epoch {epoch:3}  {loss:18.7f}  {stock_loss:9.7f}")
    share = accuracy(net, test)
    print(f"test accuracy {share:.4f}")
    return verdict(losses, stock_losses, share)


if __name__ == "__main__":
    sys.exit(main())

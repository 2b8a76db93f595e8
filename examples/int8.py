"""A trained network in INT8: the accuracy before and after, and the time.

MXNet quantises its own convolution, so the layers run with algorithm='direct'. What is printed of
times is measured, on one thread, and not judged; the accuracy on the test images is.
"""

import argparse
import contextlib
import os
import sys
import time
import warnings

import digits  # first: it sets how many threads MXNet uses
import mxconv
from mxconv import MultiChannelConv2D
from mxconv.network import blocks

import mxnet as mx
import numpy as np
from mxnet import gluon, init, nd
from mxnet.contrib.quantization import quantize_net_v2
from mxnet.gluon.model_zoo import vision
from sklearn.datasets import load_sample_images

FAST = {"static_alloc": True, "static_shape": True}
ROUNDS = 20
MOST_LOST = 0.01  # of the accuracy on the digits
MOST_TURNED = 0.02  # 1 - cosine, of the outputs of a large network


def grouped(net):
    """The operators of the layers that MXNet 1.9.1 gets wrong in INT8, made by nn.Conv2D as well.

    Where a group has several channels, in or out, outputs are off by far more than rounding.
    Depthwise layers, of one channel each, are right.
    """
    layers = [block for block in blocks(net) if isinstance(block, MultiChannelConv2D)]
    return [
        layer.name + "_fwd"
        for layer in layers
        if layer.geometry.groups > 1 and not layer.geometry.depthwise
    ]


def quantize(net, X):
    """`net` in INT8, its ranges taken from the images `X` (n, c, h, w) that it sees here."""
    mxconv.set_algorithm(net, "direct")  # whichever it was trained with
    images = gluon.data.ArrayDataset(X, nd.zeros(len(X)))  # labels are asked for and not used
    with warnings.catch_warnings(), unlogged():
        warnings.filterwarnings("ignore", "Cannot decide type", UserWarning)
        quantized = quantize_net_v2(
            net,
            calib_data=gluon.data.DataLoader(images, batch_size=64),
            calib_mode="naive",
            quantize_mode="smart",
            exclude_layers=grouped(net),
        )
    quantized.hybridize(**FAST)
    net.hybridize(**FAST)  # quantize_net_v2 has hybridized it without
    return quantized


@contextlib.contextmanager
def unlogged():
    """Drop what MXNet's library logs, a line or two for each activation that stays in float32.

    It has no setting for that, and writes past `sys.stderr`. Errors are raised as ever.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def photographs(size=224):
    """scikit-learn's two photographs, two crops of each, as an NDArray (4, 3, size, size)."""
    crops = [
        image[top : top + size, left : left + size]
        for image in load_sample_images().images
        for top, left in ((0, 0), (200, 400))
    ]
    return nd.array(np.stack(crops) / 255).transpose((0, 3, 1, 2))


def resnet18():
    """The model zoo's ResNet-18 of MultiChannelConv2D, with the same random weights each time."""
    mx.random.seed(digits.SEED)
    net = mxconv.convert(vision.resnet18_v1())
    net.initialize(init.Xavier())
    net(nd.zeros((1, 3, 32, 32)))  # draws the weights, which waited for their input channels
    net.hybridize(**FAST)
    return net


def milliseconds(nets, x, rounds=ROUNDS):
    """Each network's shortest time for `x`. They take turns, so that a busy machine slows all."""
    times = []
    for _ in range(rounds + 1):
        times.append([])
        for net in nets:
            start = time.perf_counter()
            net(x).wait_to_read()
            times[-1].append(1000 * (time.perf_counter() - start))
    return np.min(times[1:], axis=0)  # the first round made the graphs


def cosine(y, reference):
    """How well the directions of two batches of outputs agree: at best 1."""
    return ((y * reference).sum() / (y.norm() * reference.norm())).asscalar()


def row(name, judged, values, times):
    print(
        f"{name:12}  {judged:8}  {values[0]:7.4f}  {values[1]:6.4f}  "
        f"{times[0]:10.1f}  {times[1]:7.1f}  {times[0] / times[1]:5.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=digits.EPOCHS, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of timing (%(default)s)")
    options = parser.parse_args()
    training, test = digits.load()
    net = digits.lenet(MultiChannelConv2D)
    digits.train(net, training, options.epochs, "MultiChannelConv2D")
    quantized = quantize(net, training[0])
    shares = [digits.accuracy(each, test) for each in (net, quantized)]
    lenet_times = milliseconds([net, quantized], test[0], options.rounds)

    large, X = resnet18(), photographs()
    quantized = quantize(large, X)
    cosines = [1, cosine(quantized(X), large(X))]
    times = milliseconds([large, quantized], X, options.rounds)

    print("network       judged by  float32    INT8  float32 ms  INT8 ms  ratio")
    row("LeNet", "accuracy", shares, lenet_times)
    row("resnet18_v1", "cosine", cosines, times)
    if shares[1] < shares[0] - MOST_LOST:
        return f"int8: the accuracy fell from {shares[0]:.4f} to {shares[1]:.4f}"
    if cosines[1] < 1 - MOST_TURNED:
        return f"int8: resnet18_v1's outputs have turned, cosine {cosines[1]:.4f}"


if __name__ == "__main__":
    sys.exit(main())

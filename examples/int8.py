"""A trained network in INT8: its accuracy and its time, before and after.

MXNet quantizes only its own convolution, so the layers run with algorithm='native'. The times are
measured on one thread and aren't checked; the accuracy on the test images is.
"""

import argparse
import contextlib
import os
import sys
import time
import warnings

import digits  # first: it sets how many threads MXNet uses
from mxconv import MultiChannelConv2D, convert, for_inference, set_algorithm

import mxnet as mx
import numpy as np
from mxnet import gluon, init, nd
from mxnet.contrib.quantization import quantize_net_v2
from mxnet.gluon.model_zoo import vision
from sklearn.datasets import load_sample_images

FAST = {"static_alloc": True, "static_shape": True}
ROUNDS = 20
MAX_ACCURACY_LOSS = 0.01  # on the digits
MAX_COSINE_LOSS = 0.02  # 1 - cosine, of the outputs of a large network


def grouped(net):
    """The operators of the layers whose outputs are wrong in INT8 in MXNet 1.9.1.

    If a group has several input or output channels, outputs are off by far more than rounding; the
    same holds for nn.Conv2D. Depthwise layers, with one channel per group, are right.
    """
    blocks = []
    net.apply(blocks.append)
    return [
        block.name + "_fwd"
        for block in blocks
        if isinstance(block, MultiChannelConv2D)
        and block.geometry.groups > 1
        and not block.geometry.depthwise
    ]


def use_native(net):
    """Give each layer MXNet's own convolution, whatever it was trained with."""
    if not isinstance(net, gluon.SymbolBlock):  # a graph; the folded one has no other convolutions
        set_algorithm(net, "native")


def quantize(net, X):
    """`net` in INT8, calibrated on the images `X` (n, c, h, w)."""
    use_native(net)
    images = mx.io.NDArrayIter(X.asnumpy(), batch_size=min(64, len(X)))
    with warnings.catch_warnings(), unlogged():
        warnings.filterwarnings("ignore", "Cannot decide type", UserWarning)
        quantized = quantize_net_v2(
            net,
            calib_data=images,
            calib_mode="naive",
            quantize_mode="smart",
            exclude_layers=grouped(net),
        )
    quantized.hybridize(**FAST)
    net.hybridize(**FAST)  # quantize_net_v2 has hybridized it without these flags
    return quantized


@contextlib.contextmanager
def unlogged():
    """Drop the log of MXNet's library: a line or two for each activation that stays in float32.

    MXNet has no setting for that, and its library doesn't write to `sys.stderr`. Errors are still
    raised.
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
    """Two crops of each of scikit-learn's two photographs, an NDArray (4, 3, size, size)."""
    crops = [
        image[top : top + size, left : left + size]
        for image in load_sample_images().images
        for top, left in ((0, 0), (200, 400))
    ]
    return nd.array(np.stack(crops) / 255).transpose((0, 3, 1, 2))


def resnet18():
    """The model zoo's ResNet-18, converted, with the same random weights each time."""
    mx.random.seed(digits.SEED)
    net = convert(vision.resnet18_v1())
    net.initialize(init.Xavier())
    net(nd.zeros((1, 3, 32, 32)))  # infers the input channels and draws the weights
    net.hybridize(**FAST)
    return net


def milliseconds(nets, x, rounds=ROUNDS):
    """The shortest time of each network for `x`; they take turns, so a busy machine slows all."""
    times = []
    for _ in range(rounds + 1):
        times.append([])
        for net in nets:
            start = time.perf_counter()
            net(x).wait_to_read()
            times[-1].append(1000 * (time.perf_counter() - start))
    return np.min(times[1:], axis=0)  # the first round traced the graphs


def cosine(y, reference):
    """The cosine of the angle between two batches of outputs; 1 if they have one direction."""
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
    folded = for_inference(large, X, measure=False).folded()  # each convolution is one operator
    nets = [large, quantize(large, X), folded, quantize(folded, X)]
    cosines = [cosine(net(X), large(X)) for net in nets]
    times = milliseconds(nets, X, options.rounds)

    print("network       judged by  float32    INT8  float32 ms  INT8 ms  ratio")
    row("LeNet", "accuracy", shares, lenet_times)
    row("resnet18_v1", "cosine", cosines[:2], times[:2])
    row("folded", "cosine", cosines[2:], times[2:])
    if shares[1] < shares[0] - MAX_ACCURACY_LOSS:
        return f"int8: the accuracy fell from {shares[0]:.4f} to {shares[1]:.4f}"
    if min(cosines) < 1 - MAX_COSINE_LOSS:
        return f"int8: the outputs of resnet18_v1 have changed direction, cosine {min(cosines):.4f}"


if __name__ == "__main__":
    sys.exit(main())

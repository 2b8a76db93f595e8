"""A network fused, in bfloat16, and as for_inference makes it: how outputs and time change.

The first two need MXNet's own convolution, so the layers run with algorithm='native'. "folded" is
what for_inference gives to MXNet's other tools. The times are measured on one thread and aren't
checked; the outputs are.
"""

import argparse
import sys
import warnings

import digits  # first: it sets how many threads MXNet uses
from int8 import FAST, ROUNDS, milliseconds, photographs, resnet18, use_native
from mxconv import MultiChannelConv2D, for_inference
from mxconv.cpu import has_avx512

import mxnet as mx
from mxnet.contrib import amp

# The largest difference allowed, relative to the largest output; bfloat16 rounds to 1/256.
TOLERANCES = {
    "float32": 0,
    "fused": 1e-5,
    "for_inference": 1e-5,
    "bfloat16": 0.03,
    "folded, bfloat16": 0.03,
}


def fuse(net, x):
    """`net` itself, its operators fused for inputs like `x`; from then on only for inference."""
    use_native(net)
    net.optimize_for(x, backend="MKLDNN", **FAST)  # slower without these flags
    return net


def in_bfloat16(net, x):
    """A copy of `net` for inference that convolves and multiplies matrices in bfloat16."""
    use_native(net)
    net.hybridize(**FAST)
    net(x)  # traces the graph, which is then converted
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot decide type", UserWarning)
        copy = amp.convert_hybrid_block(net, target_dtype="bfloat16", ctx=mx.cpu())
    copy.hybridize(**FAST)
    return copy


def twin(net, other):
    """`other`, a network with the same layers, after it got the parameters of `net`."""
    other.initialize(force_reinit=True)
    for theirs, ours in zip(other.collect_params().values(), net.collect_params().values()):
        theirs.set_data(ours.data())
    return other


def difference(y, reference):
    """The largest difference between two batches of outputs, relative to the largest output."""
    return ((y - reference).abs().max() / reference.abs().max()).asscalar()


def compare(name, net, other, x, bfloat16, rounds=ROUNDS):
    """Print a row for each way to run `net` on `x`; return what differs too much, or None."""
    fast = for_inference(net, x, measure=False)
    ways = {"float32": net, "fused": fuse(twin(net, other), x), "for_inference": fast}
    if bfloat16:
        ways["bfloat16"] = in_bfloat16(net, x)
        ways["folded, bfloat16"] = in_bfloat16(fast.folded(), x)
    net.hybridize(**FAST)
    times = milliseconds(ways.values(), x, rounds)
    problem = None
    for (way, changed), time in zip(ways.items(), times):
        differs = difference(changed(x), net(x))
        print(f"{name:12}  {way:16}  {differs:10.1e}  {time:12.1f}  {times[0] / time:5.2f}")
        if not differs <= TOLERANCES[way]:
            problem = f"fusion_and_amp: {name} {way} differs by {differs:.1e} of the largest output"
    return problem


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=digits.EPOCHS, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of timing (%(default)s)")
    options = parser.parse_args()
    training, test = digits.load()
    net = digits.lenet(MultiChannelConv2D)
    digits.train(net, training, options.epochs, "MultiChannelConv2D")

    bfloat16, rounds = has_avx512(), options.rounds
    print("network       way               difference  milliseconds  ratio")
    problems = [
        compare("LeNet", net, digits.lenet(MultiChannelConv2D), test[0], bfloat16, rounds),
        compare("resnet18_v1", resnet18(), resnet18(), photographs(), bfloat16, rounds),
    ]
    if not bfloat16:
        print("no bfloat16: this CPU doesn't have AVX-512")
    return next(filter(None, problems), None)


if __name__ == "__main__":
    sys.exit(main())

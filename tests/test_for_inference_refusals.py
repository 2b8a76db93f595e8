"""What `for_inference` refuses, and what the network that it makes refuses."""

import copy
import pickle

from helpers import MODES, hybridize, slow_but
from inference import QUICK, Siamese, X, assert_close, random, ready, sequence, small
from mxconv import MultiChannelConv2D, for_inference, load_parameters

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon
from mxnet.gluon import HybridBlock, nn

# What it can't take


class Random(HybridBlock):
    def __init__(self, kind):
        super().__init__()
        self.dense, self.kind = nn.Dense(3), kind

    def hybrid_forward(self, F, x):
        y = self.dense(x)
        if self.kind == "dropout":
            return F.Dropout(y, p=0.5, mode="always")
        return y + F.random.normal_like(y, scale=1 if self.kind == "normal" else 1e-4)


@pytest.mark.parametrize("kind", ["dropout", "normal", "nearly the same"])
@pytest.mark.parametrize("measure", [True, False])
def test_a_random_network(kind, measure):
    net, (x,) = ready(Random(kind), random(2, 3))
    with pytest.raises(ArithmeticError, match="expected a network that computes the same"):
        for_inference(net, x, measure=measure, seconds=0.001, progress=False)


class Plain(gluon.Block):
    def forward(self, x):
        return x


class Shapely(HybridBlock):
    def hybrid_forward(self, F, x):
        return F.relu(x) if x.shape[0] > 1 else x


def test_networks_that_it_cant_take(trained):
    net, x = trained
    with pytest.raises(TypeError, match=r"net has the wrong type: expected .*HybridBlock"):
        for_inference(Plain(), x)
    with pytest.raises(TypeError, match="'Symbol' object has no attribute 'shape'"):
        for_inference(Shapely(), x)
    new = small()
    with pytest.raises(ValueError, match=r"have values on cpu\(0\).*with none: call initialize"):
        for_inference(new, x)
    new.initialize()
    with pytest.raises(ValueError, match="weight doesn't know its shape yet: .*call it once"):
        for_inference(new, x)
    new(x)
    for_inference(new, x, **QUICK)
    with pytest.raises(ValueError, match=r"have values on cpu\(1\).*them on \[cpu\(0\)"):
        for_inference(net, x.copyto(mx.cpu(1)))
    with pytest.raises(ValueError, match="expected inputs on one context"):
        for_inference(net, x, x.copyto(mx.cpu(1)))


class Returning(HybridBlock):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def hybrid_forward(self, F, x):
        return self.what(x)


@pytest.mark.parametrize(
    "what, kinds",
    [
        (lambda x: {"boxes": x}, "dict"),
        (lambda x: (x, [None, x * 2]), r"\(NDArray, \[NoneType, NDArray\]\)"),
        (lambda x: [x.asnumpy()], r"\[ndarray\]"),
    ],
)
def test_what_the_network_returns(what, kinds):
    with pytest.raises(TypeError, match=f"received a Returning that returns {kinds}$"):
        for_inference(Returning(what), random(2, 3))


def test_inputs_that_the_network_rejects(trained):
    net, x = trained
    with pytest.raises(ValueError, match=r"rejects inputs of shapes .*lists of them: for_infer"):
        for_inference(net, [x])
    with pytest.raises(ValueError, match=r"rejects inputs of shapes \(\(2, 3, 2, 2\),\)"):
        for_inference(net, x[:, :, :2, :2])
    conv, (x,) = ready(nn.Conv2D(2, 3), x)  # whose output, unlike ReLU's, is NaN
    with pytest.raises(ValueError, match="output 0 isn't finite anywhere"):
        for_inference(conv, x * float("nan"))


@pytest.mark.parametrize(
    "inputs, arguments, error, message",
    [
        (0, {}, ValueError, "inputs is empty"),
        (1, dict(measure=2), TypeError, "measure=2"),
        (1, dict(progress=None), TypeError, "progress=None"),
        (1, dict(seconds=0), ValueError, "seconds > 0 and finite, received seconds=0"),
        (1, dict(tolerance=-1), ValueError, "tolerance > 0"),
        (1, dict(tolerance="1"), TypeError, "tolerance='1'"),
        (1, dict(choices=3), TypeError, "choices=3"),
        (1, dict(choices="nowhere.json"), OSError, "nowhere.json"),
        (1, dict(path="choices.txt"), ValueError, "ends in .json"),
        (1, dict(path="nowhere/choices.json"), ValueError, "no directory '.*nowhere'"),
    ],
)
def test_wrong_arguments(inputs, arguments, error, message, trained):
    net, x = trained
    with pytest.raises(error, match=message):
        for_inference(net, *[x] * inputs, **arguments)


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda x: None, r"inputs\[0\] has the wrong type.*NoneType"),
        (lambda x: x.shape, r"inputs\[0\]\[0\] has the wrong type.*int; an example array"),
        (lambda x: x.asnumpy(), r"inputs\[0\] has the wrong type.*numpy.ndarray"),
        (lambda x: x.tostype("row_sparse"), r"inputs\[0\] has the wrong type.*RowSparse"),
        (lambda x: mx.sym.var("x"), r"inputs\[0\] has the wrong type.*Symbol"),
    ],
)
def test_wrong_inputs(wrong, message, trained):
    net, x = trained
    with pytest.raises(TypeError, match=message):
        for_inference(net, wrong(x))


# What the new network refuses


REFUSED = {
    "cast": lambda net, x: net.cast("float64"),
    "initialized": lambda net, x: net.initialize(),
    "loaded": lambda net, x: net.load_parameters("file"),
    "saved by its parameters: use export": lambda net, x: net.save_parameters("file"),
    "optimized again": lambda net, x: net.optimize_for(x, backend="MKLDNN"),
    "moved to another context": lambda net, x: net.reset_ctx(mx.cpu(1)),
    "copied": lambda net, x: copy.deepcopy(net),
    "pickled": lambda net, x: pickle.dumps(net),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_by_itself_and_as_a_part(what, fast, trained):
    _, x = trained
    expected = fast(x).asnumpy()
    around = sequence(fast)
    refuse = pytest.raises(TypeError, match=f"made by mxconv.for_inference and can't be {what}")
    for net in (fast, around):
        if net is around and what not in ("cast", "copied"):
            continue  # see below; MXNet pickles no network
        with refuse:
            REFUSED[what](net, x)
    assert np.array_equal(fast(x).asnumpy(), expected)


def test_its_parameters_keep_their_values(fast, trained, tmp_path):
    _, x = trained
    expected = fast(x).asnumpy()
    around = sequence(fast, nn.Dense(2))
    around.initialize()  # the dense layer
    file = str(tmp_path / "net.params")
    around(x)
    around.save_parameters(file)
    for net in (around, fast.folded()):
        refuse = pytest.raises(TypeError, match="made by mxconv.for_inference and can't be")
        with refuse:
            net.initialize(force_reinit=True)
        with refuse:
            net.collect_params().reset_ctx(mx.cpu(1))
        with refuse:
            net.cast("float64")
    for load in (around.load_parameters, lambda path: load_parameters(around, path)):
        with pytest.raises(TypeError, match="can't be loaded"):
            load(file)
    assert np.array_equal(fast(x).asnumpy(), expected)
    assert_close(fast.folded()(x), fast(x))


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("around", slow_but(["lone", *MODES], "lone", "eager", "static_shape"))
def test_it_is_never_recorded(recorded, around, fast, trained):
    _, x = trained
    net = fast
    if around != "lone":
        other = MultiChannelConv2D(3, 3, padding=1, in_channels=3)
        net = sequence(other, fast)
        other.initialize()
        hybridize(net, around)
        net(x)  # otherwise the graph would be traced while it is recorded
    mode = autograd.record if recorded else autograd.train_mode
    what = "recorded" if recorded else "run in training mode"
    for _ in range(2):
        with mode(), pytest.raises(RuntimeError, match=f"can't be {what}; record the original"):
            net(x)
        with autograd.record(), autograd.pause():
            net(x)


def test_layers_around_it_still_choose_for_training(trained):
    """A network that waits for its first recorded call may have two reasons to."""
    _, x = trained
    first, second = MultiChannelConv2D(5, 3, padding=1), MultiChannelConv2D(3, 3, padding=1)
    part = sequence(first, second)
    fast = for_inference(*[ready(small(), x)[0], x], **QUICK)
    net = sequence(part, fast)
    part.initialize()
    net.hybridize()
    net(x)
    with autograd.record(), pytest.raises(RuntimeError, match="can't be recorded"):
        net(x)
    part.hybridize()
    part(x)
    with autograd.record():
        y = part(x)
    y.backward()
    assert np.abs(first.weight.grad().asnumpy()).max() > 0


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        (lambda x: (x, x), TypeError, r"\(array\), received \(array, array\)"),
        (lambda x: ([x],), ValueError, r"\(array\), received \(\[array\]\)"),
        (lambda x: (None,), ValueError, r"received \(None\)"),
        (lambda x: (x.asnumpy(),), TypeError, "expected MXNet arrays, received numpy.ndarray"),
        (lambda x: ("x",), TypeError, "expected MXNet arrays, received builtins.str"),
        (lambda x: (x.tostype("row_sparse"),), TypeError, "RowSparseNDArray"),
        (lambda x: (x.astype("float64"),), ValueError, "float32 with 4 axes.*received float64"),
        (lambda x: (x[0],), ValueError, r"float32 with 4 axes.*shape \(3, 8, 9\)"),
        (lambda x: (x[:, :2],), ValueError, r"can't take inputs of shapes \(2, 2, 8, 9\)"),
        (lambda x: (x[:, :, :4],), ValueError, r"can't take inputs of shapes \(2, 3, 4, 9\)"),
        (
            lambda x: (x.copyto(mx.cpu(1)),),
            ValueError,
            r"data on cpu\(0\).*received it on cpu\(1\)",
        ),
    ],
)
def test_wrong_inputs_of_a_call(wrong, error, message, fast, trained):
    _, x = trained
    expected = fast(x).asnumpy()
    with pytest.raises(error, match=message):
        fast(*wrong(x))
    assert np.array_equal(fast(x).asnumpy(), expected)


def test_too_small_images():
    net, (x,) = ready(sequence(nn.Conv2D(4, 5), nn.Conv2D(4, 3)), random(1, 3, 9, 9))
    fast = for_inference(net, x, **QUICK)
    for size in (6, 4):
        with pytest.raises(ValueError, match=f"can't take inputs of shapes .*{size}"):
            fast(random(1, 3, size, size))


def test_wrong_nesting_of_a_call():
    net, (x, others) = ready(Siamese(), random(*X), [random(*X), random(2, 1, 1, 1)])
    fast = for_inference(net, x, others, **QUICK)
    expected = r"expected inputs as for_inference got them, \(array, \[array, array\]\), received "
    for wrong in [(x,), (x, *others)]:
        with pytest.raises(TypeError, match=expected):
            fast(*wrong)
    for wrong in [(x, others[:1]), ([x, x], x), (None, others)]:
        with pytest.raises(ValueError, match=expected):
            fast(*wrong)
    assert_close(fast(x, tuple(others)), net(x, others))

"""Problem 1: two convolutions with nothing in between are one. Is every one two?

One after the other equals a single convolution, whose kernel is the true convolution of the two
over space and their matrix product over channels. The converse is false: few kernels are made of
two smaller ones, unless there are channels enough between them. Equal means equal to the last bit:
the data are whole numbers.
"""

from cell_2 import X
from cell_4 import K as K1
from mxconv import MultiChannelConv2D, corr2d, corr2d_multi_in_out
from mxconv.compose import compose
from mxconv.factor import decompose, factor

import numpy as np
from mxnet import nd

K2 = nd.array(
    [
        [[[1, 2], [0, 1]], [[0, 1], [3, 0]], [[1, 0], [0, 2]]],
        [[[2, 0], [1, 1]], [[1, 1], [0, 0]], [[0, 3], [1, 0]]],
    ]
)


def equal(a, b):
    return np.array_equal(a.asnumpy(), b.asnumpy())


def one_from_two():
    K = compose(K1, K2)
    Y = corr2d_multi_in_out(corr2d_multi_in_out(X, K1), K2)
    assert equal(Y, corr2d_multi_in_out(X, K))
    print("Can two be expressed as one? Yes.")
    print(
        f"  K1 {K1.shape}, then K2 {K2.shape}, is one K {K.shape}; both ways X gives "
        f"{Y.reshape(-1).asnumpy()}"
    )
    # One channel: convolving the kernels is right, cross-correlating them isn't.
    x, k1, k2 = nd.array([[1, 0, 0, 5]]), nd.array([[1, 2]]), nd.array([[1, 10]])
    convolved = compose(k1.reshape((1, 1, 1, 2)), k2.reshape((1, 1, 1, 2)))[0, 0]
    correlated = corr2d(nd.array([[0, 1, 10, 0]]), k1)
    y = corr2d(corr2d(x, k1), k2)
    assert equal(y, corr2d(x, convolved)) and not equal(y, corr2d(x, correlated))
    print(
        f"  {row(k1)} and {row(k2)} convolved are {row(convolved)}, which turns {row(x)} into "
        f"{row(y)} as they do;\n  cross-correlated they are {row(correlated)}, which makes "
        f"{row(corr2d(x, correlated))} of it"
    )
    a, b = K1[:2], K2[:, :2]
    assert not equal(compose(a, b), compose(b, a))
    print("  with several channels K1 after K2 differs from K2 after K1, as matrices do")


def sizes():
    layers = [
        MultiChannelConv2D(4, kernel_size=(3, 2), strides=2, in_channels=3),
        MultiChannelConv2D(5, kernel_size=(2, 4), in_channels=4),
    ]
    numbers = np.random.RandomState(1)
    for layer in layers:
        layer.initialize()
        for parameter in (layer.weight, layer.bias):
            parameter.set_data(nd.array(numbers.randint(-4, 5, parameter.shape)))
    one = compose(*layers)
    x = nd.array(numbers.randint(-4, 5, (2, 3, 12, 13)))
    assert equal(layers[1](layers[0](x)), one(x))
    assert one.weight.shape == (5, 3, 5, 8)
    print("What is its size? k1 + k2 - 1 per axis; with the first one's stride, k1 + s1 (k2 - 1).")
    print(
        "  3x2 with stride 2, then 2x4, is %dx%d with stride %d, biases included"
        % (one.weight.shape[2:] + one.geometry.strides[:1])
    )


def two_from_one():
    print("Is the converse true? No.")
    square = nd.array([1, 0, 1])
    assert factor(square, 2) is None
    print(f"  {row(square)} is no product of two kernels of length 2: x^2 + 1 has no real root")
    quartic = nd.array([1, 0, 0, 0, 1])
    assert factor(quartic, 2) is None
    first, second = (k / k[0] for k in factor(quartic, 3))
    product = compose(first.reshape((1, 1, 1, 3)), second.reshape((1, 1, 1, 3)))
    assert np.allclose(product.asnumpy(), quartic.asnumpy(), atol=1e-6)
    print(
        f"  {row(quartic)} has no factor of length 2, and two of length 3: {row(first)} and "
        f"{row(second)}"
    )
    rank = dimensions()
    assert rank == 7
    print(
        f"  two 2x2 kernels have 8 elements and make {rank} dimensions of the 9 of 3x3 kernels: "
        "a factor\n  can pass from one to the other; so almost no 3x3 kernel is such a product"
    )


def dimensions():
    """The rank of the derivatives of compose at a random pair of 2x2 kernels."""
    numbers = np.random.RandomState(2)
    k1, k2 = (nd.array(numbers.normal(size=(1, 1, 2, 2))) for _ in range(2))
    units = nd.eye(4).reshape((4, 1, 2, 2))  # compose is linear in each kernel
    to_second, to_first = compose(k1, units), compose(units.transpose((1, 0, 2, 3)), k2)
    derivatives = nd.concat(to_first.reshape((4, 9)), to_second.reshape((4, 9)), dim=0)
    return np.linalg.matrix_rank(derivatives.asnumpy())


def two_with_enough_channels():
    K = nd.array(np.random.RandomState(3).normal(size=(2, 3, 5, 5)))
    first, second = decompose(K, 3)
    assert equal(compose(first, second), K)
    c_mid = first.shape[0]
    assert c_mid == 3 * 3 * 3
    print(
        f"  but through c_i k1^2 = {c_mid} channels any K {K.shape} is exactly {first.shape}, "
        f"then\n  {second.shape}: each holds an input channel, shifted, for the second to weigh"
    )


def row(kernel):
    """The elements, as a reader writes them."""
    return [float("%.4g" % k) if k % 1 else int(k) for k in kernel.reshape(-1).asnumpy().tolist()]


def main():
    one_from_two()
    sizes()
    two_from_one()
    two_with_enough_channels()


if __name__ == "__main__":
    main()

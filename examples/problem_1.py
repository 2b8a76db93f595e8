"""Problem 1: two convolutions in a row are one convolution. Is every convolution two?

Two convolutions with nothing in between equal a single one. Its kernel is the true convolution of
both kernels over space and their matrix product over channels. The converse is false: few kernels
are products of two smaller ones, unless there are enough channels between these. The data are whole
numbers, so equal means equal to the last bit.
"""

import argparse

from cell_2 import X
from cell_4 import K as K1
from mxconv import MultiChannelConv2D, corr2d, corr2d_multi_in_out
from mxconv.exercises import expand_kernel, factor_kernel_1d, merge_convolutions

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
    K = merge_convolutions(K1, K2)
    Y = corr2d_multi_in_out(corr2d_multi_in_out(X, K1), K2)
    assert equal(Y, corr2d_multi_in_out(X, K))
    print("Can two be expressed as one? Yes.")
    print(
        f"  K1 {K1.shape}, then K2 {K2.shape}, is one K {K.shape}; both ways X gives "
        f"{Y.reshape(-1).asnumpy()}"
    )
    # With one channel: the kernels have to be convolved, not cross-correlated.
    x, k1, k2 = nd.array([[1, 0, 0, 5]]), nd.array([[1, 2]]), nd.array([[1, 10]])
    convolved = merge_convolutions(k1.reshape((1, 1, 1, 2)), k2.reshape((1, 1, 1, 2)))[0, 0]
    correlated = corr2d(nd.array([[0, 1, 10, 0]]), k1)
    y = corr2d(corr2d(x, k1), k2)
    assert equal(y, corr2d(x, convolved)) and not equal(y, corr2d(x, correlated))
    print(
        f"  {row(k1)} and {row(k2)} convolved are {row(convolved)}, which turns {row(x)} into "
        f"{row(y)}, as they do;\n  cross-correlated they are {row(correlated)}, which turns it "
        f"into {row(corr2d(x, correlated))}"
    )
    a, b = K1[:2], K2[:, :2]
    assert not equal(merge_convolutions(a, b), merge_convolutions(b, a))
    print("  with several channels the order matters, as in a product of matrices")


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
    one = merge_convolutions(*layers)
    x = nd.array(numbers.randint(-4, 5, (2, 3, 12, 13)))
    assert equal(layers[1](layers[0](x)), one(x))
    assert one.weight.shape == (5, 3, 5, 8)
    print("What is its size? k1 + k2 - 1 per axis; with a first stride of s1, k1 + s1 (k2 - 1).")
    k_h, k_w = one.weight.shape[2:]
    stride = one.geometry.strides[0]
    print(f"  3x2 with stride 2, then 2x4, is {k_h}x{k_w} with stride {stride}, biases included")


def two_from_one():
    print("Is the converse true? No.")
    square = nd.array([1, 0, 1])
    assert factor_kernel_1d(square, 2) is None
    print(f"  {row(square)} isn't a product of kernels of length 2: x^2 + 1 has no real root")
    quartic = nd.array([1, 0, 0, 0, 1])
    assert factor_kernel_1d(quartic, 2) is None
    first, second = (k / k[0] for k in factor_kernel_1d(quartic, 3))
    product = merge_convolutions(first.reshape((1, 1, 1, 3)), second.reshape((1, 1, 1, 3)))
    assert np.allclose(product.asnumpy(), quartic.asnumpy(), atol=1e-6)
    print(
        f"  {row(quartic)} has no factor of length 2, but two of length 3: {row(first)} and "
        f"{row(second)}"
    )
    rank = dimensions()
    assert rank == 7
    print(
        "  two 2x2 kernels have 8 elements, but a factor can move from one to the other: their "
        f"products\n  have {rank} of the 9 dimensions of 3x3 kernels: almost no 3x3 kernel is one"
    )


def dimensions():
    """The rank of the derivative of `merge_convolutions` at a random pair of 2x2 kernels."""
    numbers = np.random.RandomState(2)
    k1, k2 = (nd.array(numbers.normal(size=(1, 1, 2, 2))) for _ in range(2))
    # The product is linear in each kernel, so its derivatives are its values for unit kernels.
    units = nd.eye(4).reshape((4, 1, 2, 2))
    to_second = merge_convolutions(k1, units)
    to_first = merge_convolutions(units.transpose((1, 0, 2, 3)), k2)
    derivatives = nd.concat(to_first.reshape((4, 9)), to_second.reshape((4, 9)), dim=0)
    return np.linalg.matrix_rank(derivatives.asnumpy())


def two_with_enough_channels():
    K = nd.array(np.random.RandomState(3).normal(size=(2, 3, 5, 5)))
    first, second = expand_kernel(K, 3)
    assert equal(merge_convolutions(first, second), K)
    c_mid = first.shape[0]
    assert c_mid == 3 * 3 * 3
    print(
        f"  but with c_i k1^2 = {c_mid} channels between them, any K {K.shape} is exactly "
        f"{first.shape},\n  then {second.shape}: each of them is a shifted input channel, "
        "which the second kernel weights"
    )


def row(kernel):
    """The elements as numbers that print without trailing digits."""
    return [float(f"{k:.4g}") if k % 1 else int(k) for k in kernel.reshape(-1).asnumpy().tolist()]


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # no options
    one_from_two()
    sizes()
    two_from_one()
    two_with_enough_channels()


if __name__ == "__main__":
    main()

"""Problem 6: a convolution as a matrix multiplication, for windows of any size.

There are two ways: gather the windows into columns and multiply them by the kernel (im2col), or
spread the kernel over a matrix and multiply the input by it (Toeplitz). The data are whole numbers,
so equal means equal to the last bit.
"""

import argparse

from cell_2 import X
from cell_4 import K
from mxconv import MultiChannelConv2D, corr2d_multi_in_out
from mxconv.exercises import convolution_matrix

import numpy as np
from mxnet import autograd, nd


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # no options
    Y = corr2d_multi_in_out(X, K)
    c_o, o_h, o_w = Y.shape

    columns = nd.im2col(X.expand_dims(0), kernel=K.shape[2:])[0]
    print(f"im2col: the windows of X {X.shape} are columns {columns.shape},{columns}")
    product = nd.dot(K.reshape((c_o, -1)), columns).reshape((c_o, o_h, o_w))
    print(f"K as rows {(c_o, columns.shape[0])} times the columns:{product}")
    assert np.array_equal(product.asnumpy(), Y.asnumpy())

    layer = MultiChannelConv2D(c_o, K.shape[2:], use_bias=False, in_channels=2, algorithm="im2col")
    layer.initialize()
    layer.weight.set_data(K)
    assert np.array_equal(layer(X.expand_dims(0))[0].asnumpy(), Y.asnumpy())
    print(f"{layer} gives the same")

    T = convolution_matrix(K, X.shape)
    print(f"Toeplitz: K {K.shape} becomes T {T.shape}; its first block, channel 0 to 0:{T[:4, :9]}")
    assert np.array_equal(nd.dot(T, X.reshape(-1)).asnumpy(), Y.reshape(-1).asnumpy())
    print("T vec(X) equals vec(Y)")

    X.attach_grad()
    with autograd.record():
        Y = corr2d_multi_in_out(X, K)
    dY = nd.arange(1, Y.size + 1).reshape(Y.shape)
    Y.backward(dY)
    assert np.array_equal(nd.dot(T.T, dY.reshape(-1)).asnumpy(), X.grad.reshape(-1).asnumpy())
    print(f"T' vec(dY) equals the gradient with respect to X:{X.grad}")


if __name__ == "__main__":
    main()

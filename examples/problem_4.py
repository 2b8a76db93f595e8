"""Problem 4: the cost of the forward computation of a 1x1 convolution.

Each of the c_o h w outputs is a sum over c_i channels. That takes c_o c_i h w multiplications and
c_o (c_i - 1) h w additions. Stride and padding change only the number of outputs: they replace h
and w by o_h and o_w, with o_h = floor((h + 2p - 1) / s) + 1.
"""

import argparse

from mxconv import ConvGeometry
from mxconv.exercises import count_cost
from problem_2 import count

import numpy as np

C_I, C_O, H, W = 3, 2, 5, 4


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # no options
    print(f"{C_I} to {C_O} channels, {H} x {W} pixels")
    print("stride  padding  outputs  multiplications  counted  additions  counted")
    for strides, padding in ((1, 0), (2, 0), (1, 1), (2, 1), ((2, 3), (0, 2))):
        geometry = ConvGeometry(C_O, 1, strides, padding, in_channels=C_I)
        X, K = np.ones((1, C_I, H, W)), np.ones(geometry.weight_shape)
        output_shape = geometry.output_shape(X.shape)
        counted = count(geometry, X, K, np.ones(output_shape))["forward"]
        forward = count_cost(geometry, X.shape).forward
        o_h, o_w = output_shape[2:]
        assert forward.multiplications == counted.multiplications == C_O * C_I * o_h * o_w
        assert forward.additions == counted.additions == C_O * (C_I - 1) * o_h * o_w
        if (strides, padding) == (1, 0):
            assert (o_h, o_w) == (H, W)
        print(
            f"{strides!s:6}  {padding!s:7}  {f'{o_h} x {o_w}':7}  {forward.multiplications:15}  "
            f"{counted.multiplications:7}  {forward.additions:9}  {counted.additions:7}"
        )

    window = ConvGeometry(C_O, 3, padding=1, in_channels=C_I)
    ratio = count_cost(window, (1, C_I, H, W)).forward.multiplications / (C_O * C_I * H * W)
    assert ratio == 9
    print(f"A 3x3 kernel with as many outputs takes {ratio:.0f} times the multiplications.")


if __name__ == "__main__":
    main()

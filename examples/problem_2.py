"""Problem 2: the cost of a convolution, forward and backward, in operations and in memory.

Each formula is compared with a loop over scalars that computes the same sums and counts its
operations. On whole numbers the sums of the loop equal MXNet's outputs and gradients, so its counts
are those of the convolution.
"""

import argparse
from collections import namedtuple
from itertools import chain, product

from mxconv import MultiChannelConv2D
from mxconv.exercises import count_cost

import numpy as np
from mxnet import autograd, nd

LAYERS = {
    "the chapter's cell 5": ((1, 2, 3, 3), dict(channels=3, kernel_size=2, use_bias=False)),
    "padding and stride": ((1, 2, 5, 5), dict(channels=3, kernel_size=3, padding=1, strides=2)),
    "dilation": ((1, 2, 7, 6), dict(channels=3, kernel_size=(3, 2), dilation=2)),
    "groups, a batch of 2": ((2, 4, 4, 4), dict(channels=6, kernel_size=3, padding=1, groups=2)),
}
REALISTIC = (1, 64, 56, 56), dict(channels=128, kernel_size=3, padding=1)

Counted = namedtuple("Counted", "sums multiplications additions")


def add_up(terms):
    """Add up products, given as (place, factor, ...), by place: a `Counted`."""
    sums, multiplications, additions = {}, 0, 0
    for place, term, *factors in terms:
        for factor in factors:
            term = term * factor
            multiplications += 1
        if place in sums:
            term = sums[place] + term
            additions += 1
        sums[place] = term
    return Counted(sums, multiplications, additions)


def meetings(geometry, input_shape):
    """The products of a convolution: the places of both factors, in padded X and K, and in Y."""
    N, c_o, o_h, o_w = geometry.output_shape(input_shape)
    _, c, k_h, k_w = geometry.weight_shape
    (s_h, s_w), (d_h, d_w) = geometry.strides, geometry.dilation
    for n, o, i, j in product(range(N), range(c_o), range(o_h), range(o_w)):
        first = o // (c_o // geometry.groups) * c
        for m, a, b in product(range(c), range(k_h), range(k_w)):
            yield (n, first + m, i * s_h + a * d_h, j * s_w + b * d_w), (o, m, a, b), (n, o, i, j)


def count(geometry, X, K, dY, bias=None):
    """Compute the sums of one training step: a `Counted` for forward, data, weight and bias.

    X, K, dY and bias, if there is one, are NumPy arrays of the shapes that `geometry` implies.
    'data' is the gradient with respect to the padded X.
    """
    met = list(meetings(geometry, X.shape))
    X = np.pad(X, ((0, 0), (0, 0), *geometry.pads))
    products = ((y, X[x], K[k]) for x, k, y in met)
    biases = () if bias is None else ((y, bias[y[1]]) for y, _ in np.ndenumerate(dY))
    to_biases = () if bias is None else ((y[1], value) for y, value in np.ndenumerate(dY))
    return {
        "forward": add_up(chain(products, biases)),
        "data": add_up((x, dY[y], K[k]) for x, k, y in met),
        "weight": add_up((k, dY[y], X[x]) for x, k, y in met),
        "bias": add_up(to_biases),
    }


def formulas(costs):
    """What `count` counts, by formula: (multiplications, additions) for each part."""
    forward, backward = costs.forward, costs.backward
    counts = {"forward": (forward.multiplications, forward.additions + forward.bias_additions)}
    for part in ("data", "weight", "bias"):
        operations = getattr(backward, part)
        counts[part] = (operations.multiplications, operations.additions)
    return counts


def whole_numbers(random, shape):
    return random.randint(-9, 10, shape).astype("float32")


def compare(title, input_shape, arguments):
    """Count a layer's operations, compare its sums with MXNet's, and print counts and formulas."""
    random = np.random.RandomState(0)
    layer = MultiChannelConv2D(in_channels=input_shape[1], **arguments)
    layer.initialize()
    X, K = (whole_numbers(random, shape) for shape in (input_shape, layer.weight.shape))
    layer.weight.set_data(nd.array(K))
    bias = None
    if layer.bias is not None:
        bias = whole_numbers(random, layer.bias.shape)
        layer.bias.set_data(nd.array(bias))
    x = nd.array(X)
    x.attach_grad()
    with autograd.record():
        y = layer(x)
    dY = whole_numbers(random, y.shape)
    y.backward(nd.array(dY))

    counted = count(layer.geometry, X, K, dY, bias)
    (top, _), (left, _) = layer.geometry.pads
    gradient = {(n, c, i - top, j - left): g for (n, c, i, j), g in counted["data"].sums.items()}
    assert all(g == gradient.get(place, 0) for place, g in np.ndenumerate(x.grad.asnumpy()))
    assert counted["forward"].sums == dict(np.ndenumerate(y.asnumpy()))
    assert counted["weight"].sums == dict(np.ndenumerate(layer.weight.grad().asnumpy()))

    expected = formulas(count_cost(layer, input_shape))
    print(f"{title}: {layer} on {input_shape}")
    print("           multiplications          additions")
    print("           formula   counted   formula   counted")
    for part, (_, multiplications, additions) in counted.items():
        formula = expected[part]
        print(f"  {part:7}  {formula[0]:7}   {multiplications:7}   {formula[1]:7}   {additions:7}")
        assert formula == (multiplications, additions), part
    print()


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()  # no options
    for title, (input_shape, arguments) in LAYERS.items():
        compare(title, input_shape, arguments)
    chapter = count_cost(
        MultiChannelConv2D(**LAYERS["the chapter's cell 5"][1]), (1, 2, 3, 3)
    ).forward
    assert (chapter.multiplications, chapter.additions) == (96, 84)

    input_shape, arguments = REALISTIC
    costs = count_cost(MultiChannelConv2D(**arguments), input_shape)
    print(f"A layer of a real network: {costs}")
    assert costs.backward.multiplications == 2 * costs.forward.multiplications
    for algorithm in ("im2col", "definition"):
        costs = count_cost(MultiChannelConv2D(algorithm=algorithm, **arguments), input_shape)
        print(f"\nThe same layer with another algorithm: {costs}")
    assert costs.memory.forward.products == costs.forward.multiplications
    print()
    print(
        "The backward pass takes exactly twice the multiplications of the forward pass. A training"
    )
    print(
        "step costs three forward passes, or two for a first layer, whose input needs no gradient."
    )


if __name__ == "__main__":
    main()

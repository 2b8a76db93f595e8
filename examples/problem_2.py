"""Problem 2: the cost of a convolution, forward and backward, in operations and in memory.

Each formula stands beside a loop over scalars that makes the same sums and counts what it does. On
whole numbers the loop's sums equal MXNet's outputs and gradients, so what it counts is the
convolution.
"""

from collections import namedtuple
from itertools import chain, product

from mxconv import MultiChannelConv2D, cost
from mxconv.cost.text import aligned

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
    """Add up terms (place, factor, ...), products of factors, by place: the sums, and a count."""
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
    """The products of a convolution: the places of the factors in padded X and K, and in Y."""
    N, c_o, o_h, o_w = geometry.output_shape(input_shape)
    _, c, k_h, k_w = geometry.weight_shape
    (s_h, s_w), (d_h, d_w) = geometry.strides, geometry.dilation
    for n, o, i, j in product(range(N), range(c_o), range(o_h), range(o_w)):
        first = o // (c_o // geometry.groups) * c
        for m, a, b in product(range(c), range(k_h), range(k_w)):
            yield (n, first + m, i * s_h + a * d_h, j * s_w + b * d_w), (o, m, a, b), (n, o, i, j)


def count(geometry, X, K, dY, bias=None):
    """Make the sums of one training step: a `Counted` for forward, data, weight and bias.

    X, K, dY and the bias, if there is one, are NumPy arrays of the shapes that `geometry` gives
    them. 'data' is the gradient to the padded X.
    """
    met = list(meetings(geometry, X.shape))
    X = np.pad(X, ((0, 0), (0, 0), *geometry.margins))
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
    """What `count` counts, by formula: (multiplications, additions) by part."""
    forward, backward = costs.forward, costs.backward
    counts = {"forward": (forward.multiplications, forward.additions + forward.bias_additions)}
    for part in ("data", "weight", "bias"):
        operations = getattr(backward, part)
        counts[part] = (operations.multiplications, operations.additions)
    return counts


def whole_numbers(random, shape):
    return random.randint(-9, 10, shape).astype("float32")


def compare(title, input_shape, arguments):
    """Count a layer's operations, check its sums against MXNet, and print counts and formulas."""
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
    (top, _), (left, _) = layer.geometry.margins
    gradient = {(n, c, i - top, j - left): g for (n, c, i, j), g in counted["data"].sums.items()}
    assert all(g == gradient.get(place, 0) for place, g in np.ndenumerate(x.grad.asnumpy()))
    assert counted["forward"].sums == dict(np.ndenumerate(y.asnumpy()))
    assert counted["weight"].sums == dict(np.ndenumerate(layer.weight.grad().asnumpy()))

    expected = formulas(cost(layer, input_shape))
    print(f"{title}: {layer} on {input_shape}")
    print("           multiplications          additions")
    print("           formula   counted   formula   counted")
    for part, (_, multiplications, additions) in counted.items():
        formula = expected[part]
        print(f"  {part:7}  {formula[0]:7}   {multiplications:7}   {formula[1]:7}   {additions:7}")
        assert formula == (multiplications, additions), part
    print()


def main():
    for title, (input_shape, arguments) in LAYERS.items():
        compare(title, input_shape, arguments)
    chapter = cost(MultiChannelConv2D(**LAYERS["the chapter's cell 5"][1]), (1, 2, 3, 3)).forward
    assert (chapter.multiplications, chapter.additions) == (96, 84)

    input_shape, arguments = REALISTIC
    costs = cost(MultiChannelConv2D(**arguments), input_shape)
    print(f"A layer of a real network: {costs}")
    assert costs.backward.multiplications == 2 * costs.forward.multiplications
    for algorithm in ("matmul", "definition"):
        costs = cost(MultiChannelConv2D(algorithm=algorithm, **arguments), input_shape)
        print(f"\nThe same with algorithm {algorithm!r}:", *aligned(costs.memory.rows()), sep="\n")
    assert costs.memory.forward.products == costs.forward.multiplications
    print()
    print("The backward pass takes exactly twice the forward's multiplications: a training step is")
    print("three forward passes, or two for a first layer, whose input needs no gradient.")


if __name__ == "__main__":
    main()

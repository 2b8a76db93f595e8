import oracle
from helpers import integers, slow_but
from mxconv import corr2d_multi_in_out
from mxconv.exercises import expand_kernel, factor_kernel_1d, merge_convolutions

import numpy as np
import pytest
from mxnet import nd


def rank_of_derivatives(first, second):
    """The dimension of the set of merged kernels: the rank of the Jacobian at a random point."""
    (h1, w1), (h2, w2) = first, second
    unit1, unit2 = nd.eye(h1 * w1), nd.eye(h2 * w2)
    k1, k2 = nd.random.normal(shape=(1, 1) + first), nd.random.normal(shape=(1, 1) + second)
    # Merging is linear in either kernel; unit kernels as channels give all derivatives at once.
    to_first = merge_convolutions(unit1.reshape((1, -1) + first), k2).reshape((h1 * w1, -1))
    to_second = merge_convolutions(k1, unit2.reshape((-1, 1) + second)).reshape((h2 * w2, -1))
    return np.linalg.matrix_rank(nd.concat(to_first, to_second, dim=0).asnumpy())


@pytest.mark.parametrize(
    "first, second, dimensions",
    [
        ((2, 2), (2, 2), 7),  # of the 9 of a 3x3 kernel
        ((3, 3), (2, 2), 12),  # of 16
        ((3, 3), (3, 3), 17),  # of 25
        ((1, 2), (1, 2), 3),  # all 3, yet [1, 0, 1] isn't reached
        ((1, 3), (1, 4), 6),  # all 6
        ((3, 1), (1, 3), 5),  # the 3x3 kernels of rank 1
    ],
)
def test_two_kernels_have_one_dimension_less_than_elements(first, second, dimensions):
    for _ in range(5):
        assert rank_of_derivatives(first, second) == dimensions
    assert dimensions == np.prod(first) + np.prod(second) - 1


def assert_factors(kernel, length, terms):
    """The kernel has factors of the right lengths, whose product equals it up to rounding."""
    first, second = factor_kernel_1d(kernel, length)
    assert first.shape == (length,)
    assert second.shape == (kernel.size - length + 1,)
    assert (first.dtype, first.context) == (kernel.dtype, kernel.context)
    assert (second.dtype, second.context) == (kernel.dtype, kernel.context)
    assert first.max().asscalar() == 1 and first.min().asscalar() >= -1
    exact, magnitude = (
        np.convolve(f(first.asnumpy().astype("float64")), f(second.asnumpy().astype("float64")))
        for f in (np.array, np.abs)
    )
    oracle.assert_within(kernel.asnumpy(), exact, magnitude.max(), kernel.dtype, terms=terms)
    composed = merge_convolutions(first.reshape((1, 1, 1, -1)), second.reshape((1, 1, 1, -1)))
    oracle.assert_within(composed[0, 0, 0], exact, magnitude, kernel.dtype, terms=length + 1)


def drawn(random, kind):
    """Two random kernels of up to 8 taps."""
    l1, l2 = random.randint(1, 9, 2)
    if kind == "normal":
        return random.normal(size=l1), random.normal(size=l2)
    if kind == "integer":
        return random.randint(-2, 3, l1), random.randint(-2, 3, l2)
    if kind == "square":  # a double root, on the real line where there is another root with it
        first = np.convolve(random.normal(size=2), random.normal(size=3))
        return first, first
    factors = [random.randint(-3, 4, 2), random.randint(-3, 4, 3)]  # powers: multiple roots
    return tuple(
        np.polymul(np.poly1d(factors[0]) ** i, np.poly1d(factors[1]) ** j).coeffs
        for i, j in random.randint(1, 3, (2, 2))
    )


KINDS = ["normal", "integer", "square", "powers"]


@pytest.mark.parametrize("kind", slow_but(KINDS, "normal", "square"))
@pytest.mark.parametrize("dtype, terms", [("float32", 4), ("float64", 2000)])
def test_products_are_factored(dtype, terms, kind):
    """Even if rounding has turned a double real root of the product into a pair of conjugates.

    In float64, the computation's own rounding shows; in float32, the result's rounding hides it.
    """
    random = np.random.RandomState(5)
    for _ in range(150):
        first, second = (k.astype(dtype).astype("float64") for k in drawn(random, kind))
        product = nd.array(np.convolve(first, second), dtype=dtype)
        assert_factors(product, len(first), terms)


def test_factors_of_long_kernels_are_not_much_larger_than_the_kernel():
    """Neighboring roots in one factor would give products of millions that cancel to units."""
    random = np.random.RandomState(5)
    for _ in range(60):
        kernel = nd.array(np.convolve(random.normal(size=20), random.normal(size=21)))
        first, second = (k.abs().asnumpy() for k in factor_kernel_1d(kernel, 20))
        assert np.convolve(first, second).max() < 1000 * kernel.abs().max().asscalar()


def quadratic(random):
    """The coefficients of x^2 - 2 a x + a^2 + b^2, with b well away from 0."""
    a, b = random.normal(), random.uniform(0.1, 2)
    return np.array([1, -2 * a, a * a + b * b])


@pytest.mark.parametrize("dtype, terms", [("float32", 4), ("float64", 2000)])
def test_kernels_without_real_roots_have_factors_of_odd_lengths_only(dtype, terms):
    random = np.random.RandomState(5)
    for pairs in (1, 2, 3) * 10:
        kernel = np.ones(1)
        for _ in range(pairs):
            kernel = np.convolve(kernel, quadratic(random))
        kernel = nd.array(-3 * kernel, dtype=dtype)
        for length in range(1, kernel.size + 1):
            if length % 2:
                assert_factors(kernel, length, terms)
            else:
                assert factor_kernel_1d(kernel, length) is None


def test_the_counterexamples():
    assert factor_kernel_1d(nd.array([1, 0, 1]), 2) is None
    x4 = nd.array([1, 0, 0, 0, 1])
    assert factor_kernel_1d(x4, 2) is None and factor_kernel_1d(x4, 4) is None
    first, second = (k.asnumpy() for k in factor_kernel_1d(x4, 3))
    for k in (first, second):
        np.testing.assert_allclose(np.abs(k / k[0]), [1, np.sqrt(2), 1], rtol=1e-6)
    assert first[1] * second[1] < 0


@pytest.mark.parametrize("length", range(1, 6))
@pytest.mark.parametrize(
    "kernel",
    [
        [0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 1, 0],
        [1, 0, 1, 0, 0],
        [0, 0, 3, 1, 5],
        [1, 4, 6, 4, 1],
        [1, 0, -2, 0, 1],
        [1e-20, 1, 1, 1, 1e-20],
        [1e30, 0, 1, 0, -1e-30],
    ],
    ids=str,
)
def test_zeros_at_the_ends_multiple_roots_and_wide_ranges(kernel, length):
    assert_factors(nd.array(kernel), length, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_tolerance_is_a_relative_change_of_the_elements(dtype):
    """x^2 + 2x + 1 + d has |p(-1)| = d, and 4 as the sum of its absolute terms."""
    eps = np.finfo(dtype).eps
    for d, found in ((8 * eps, True), (16 * eps, False)):  # 3 eps * 4 is between
        kernel = nd.array([1, 2, 1 + d], dtype=dtype)
        assert (factor_kernel_1d(kernel, 2) is not None) == found
    tiny = nd.array([1, 0, np.finfo(dtype).tiny], dtype=dtype)  # x^2 + tiny is no square
    assert factor_kernel_1d(tiny, 2) is None


@pytest.mark.parametrize(
    "kernel, length, error, says",
    [
        ([1.0, 2.0], 1, TypeError, "kernel.*NDArray.*list"),
        (nd.array([1, 2], dtype="int32"), 1, TypeError, "expected floats, received int32"),
        (nd.ones((1, 2)), 1, ValueError, r"shape \(k,\).*kernel.shape=\(1, 2\)"),
        (nd.ones((2,))[:0], 1, ValueError, "non-empty"),
        (nd.array([1, np.nan]), 1, ValueError, r"finite.*kernel\[1\]=nan"),
        (nd.array([1, np.inf]), 1, ValueError, r"finite.*kernel\[1\]=inf"),
        (nd.array([1, 2]), 0, ValueError, "length=0"),
        (nd.array([1, 2]), 3, ValueError, "at most the 2 taps.*length=3"),
        (nd.array([1, 2]), 1.0, TypeError, "length=1.0"),
    ],
)
def test_what_cannot_be_factored_is_rejected(kernel, length, error, says):
    with pytest.raises(error, match=says):
        factor_kernel_1d(kernel, length)


SIZES = [  # shape of the kernel, size of the first factor
    ((1, 1, 1, 1), 1),
    ((2, 3, 3, 3), 1),
    ((2, 3, 3, 3), 2),
    ((2, 3, 3, 3), 3),
    ((3, 2, 5, 4), (2, 3)),
    ((1, 4, 2, 7), (1, 4)),
    ((4, 1, 6, 1), (5, 1)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape, size", SIZES)
def test_any_kernel_is_two_through_one_hot_channels(shape, size, dtype, ctx):
    kernel = nd.random.normal(shape=shape, dtype=dtype, ctx=ctx)
    first, second = expand_kernel(kernel, size)
    k1 = size if isinstance(size, tuple) else (size, size)
    c_o, c_i, c_mid = shape[0], shape[1], shape[1] * k1[0] * k1[1]
    assert first.shape == (c_mid, c_i) + k1
    assert second.shape == (c_o, c_mid, shape[2] - k1[0] + 1, shape[3] - k1[1] + 1)
    assert {first.context, second.context} == {ctx}
    assert {first.dtype, second.dtype} == {kernel.dtype}
    composed = merge_convolutions(first, second)
    assert composed.dtype == kernel.dtype
    assert np.array_equal(composed.asnumpy(), kernel.asnumpy())
    one_hot = first.asnumpy().reshape(c_mid, -1)
    assert np.array_equal(one_hot, np.eye(c_mid))
    taps = second.asnumpy()
    assert np.array_equal(np.sort(taps[taps != 0]), np.sort(kernel.asnumpy().ravel()))


def test_the_two_kernels_convolve_as_the_one():
    kernel = integers((2, 3, 4, 5))
    first, second = expand_kernel(kernel, (2, 3))
    x = integers((3, 7, 8))
    y = corr2d_multi_in_out(corr2d_multi_in_out(x, first), second)
    assert np.array_equal(y.asnumpy(), corr2d_multi_in_out(x, kernel).asnumpy())


@pytest.mark.parametrize(
    "kernel, size, error, says",
    [
        (nd.ones((1, 1, 3, 3)), 0, ValueError, "size=0"),
        (nd.ones((1, 1, 3, 2)), 3, ValueError, r"at most.*\(3, 2\), received size=\(3, 3\)"),
        (nd.ones((1, 1, 3, 3)), 1.5, TypeError, "size=1.5"),
        (nd.ones((1, 3, 3)), 1, ValueError, r"kernel.shape=\(1, 3, 3\)"),
        (nd.ones((1, 1, 3, 3), dtype="int32"), 1, TypeError, "int32"),
        (np.ones((1, 1, 3, 3)), 1, TypeError, "numpy.ndarray"),
    ],
)
def test_what_cannot_be_expanded_is_rejected(kernel, size, error, says):
    with pytest.raises(error, match=says):
        expand_kernel(kernel, size)

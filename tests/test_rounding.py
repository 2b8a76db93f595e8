import oracle
from helpers import SLOW
from mxconv import corr2d_multi_in_out, corr2d_multi_in_out_1x1
from mxconv.exercises import rounding_error_bound

import numpy as np
import pytest
from mxnet import nd, random


def draw(c_i, kernel=(1, 1), dtype="float32"):
    """X and K as in the chapter's last cell, with c_i input channels."""
    X = nd.random.uniform(-1, 1, shape=(c_i, 4, 3), dtype=dtype)
    K = nd.random.uniform(-1, 1, shape=(2, c_i) + kernel, dtype=dtype)
    return X, K


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bound_is_gamma_times_the_sum_of_magnitudes(dtype):
    X, K = draw(5, (2, 3), dtype)
    n, u = 30, np.finfo(dtype).eps / 2
    magnitude = oracle.convolve(np.abs(X.asnumpy())[None], np.abs(K.asnumpy()))[0]
    bound = rounding_error_bound(X, K)
    assert bound.dtype == np.float64
    np.testing.assert_allclose(bound.asnumpy(), magnitude * n * u / (1 - n * u), rtol=1e-12)


@pytest.mark.parametrize(
    "c_i, seeds",
    [
        (1, 100),
        pytest.param(3, 200, marks=SLOW),
        pytest.param(16, 50, marks=SLOW),
        pytest.param(64, 20, marks=SLOW),
        pytest.param(256, 5, marks=SLOW),
        (1024, 2),
    ],
)
def test_both_versions_of_the_chapter_stay_inside(c_i, seeds):
    for seed in range(seeds):
        random.seed(seed)
        X, K = draw(c_i)
        exact = oracle.convolve(X.asnumpy()[None], K.asnumpy())[0]
        bound = rounding_error_bound(X, K).asnumpy()
        for function in (corr2d_multi_in_out_1x1, corr2d_multi_in_out):
            assert (np.abs(function(X, K).asnumpy() - exact) <= bound).all()


def test_results_off_by_more_than_rounding_are_outside():
    X, K = draw(3)
    Y = corr2d_multi_in_out(X, K).asnumpy()
    bound = rounding_error_bound(X, K).asnumpy()
    dropped = corr2d_multi_in_out(X[:2], K[:, :2]).asnumpy()
    assert (np.abs(Y - dropped) > 2 * bound).any()


@pytest.mark.parametrize(
    "X, K, error, says",
    [
        (
            nd.ones((2, 3, 3), dtype="int32"),
            nd.ones((1, 2, 1, 1), dtype="int32"),
            TypeError,
            "int32",
        ),
        (
            nd.ones((2, 3, 3)),
            nd.ones((1, 3, 1, 1)),
            ValueError,
            "rounding_error_bound: X has 2 channels",
        ),
        (
            nd.ones((4096, 1, 1), dtype="float16"),
            nd.ones((1, 4096, 1, 1), dtype="float16"),
            ValueError,
            "fewer than 2048 terms .* received 4096",
        ),
    ],
)
def test_bad_input(X, K, error, says):
    with pytest.raises(error, match=says):
        rounding_error_bound(X, K)

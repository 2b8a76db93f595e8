"""Fixtures: the machine's contexts, seeds, and errors that stay in the test that made them."""

import mxconv  # noqa: F401  (first: it readies NumPy for MXNet)

import mxnet as mx
import numpy as np
import pytest

CONTEXTS = [mx.cpu(0), mx.cpu(1)] + [mx.gpu(i) for i in range(mx.context.num_gpus())]


@pytest.fixture(params=CONTEXTS, ids=str)
def ctx(request):
    """Every context there is; a second CPU context stands in for a second device."""
    return request.param


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers in every run, and no error left waiting for a later test."""
    mx.random.seed(7)
    np.random.seed(7)
    yield
    mx.nd.waitall()

"""Fixtures: the machine's contexts, seeds, and errors that stay in the test that made them.

The environment variable HYPOTHESIS_PROFILE says how long the property tests look: 'ci' (otherwise)
for a few examples that are the same in every run, 'long' for many new ones.

With a number as NOISY_CLOCK, the clock runs fast and slow at random, so that whatever is measured
may win: no test may depend on which does.
"""

import os
import random
import time

import mxconv  # noqa: F401  (first: it prepares NumPy for MXNet)
from inference import fast, trained  # noqa: F401  (the fixtures of test_for_inference*.py)
from page_tab import browser, tab  # noqa: F401  (the fixtures of test_page_*.py)

import mxnet as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

CONTEXTS = [mx.cpu(0), mx.cpu(1)] + [mx.gpu(i) for i in range(mx.context.num_gpus())]

PROFILES = {
    "ci": dict(max_examples=15, derandomize=True),
    "long": dict(max_examples=300, print_blob=True),
}
# However slow a machine is, the same examples are to pass.
PATIENT = dict(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


def noisy_clock(seed):
    """A clock whose every interval is a random number of times as long as it really is."""
    factors, now = random.Random(seed), time.perf_counter
    last, shown = now(), 0.0

    def perf_counter():
        nonlocal last, shown
        interval, last = now() - last, now()
        shown += interval * factors.lognormvariate(0, 2)
        return shown

    return perf_counter


def pytest_configure():
    if "NOISY_CLOCK" in os.environ:
        time.perf_counter = noisy_clock(os.environ["NOISY_CLOCK"])
    profile = os.environ.get("HYPOTHESIS_PROFILE", "ci")
    if profile not in PROFILES:
        raise pytest.UsageError(
            f"expected HYPOTHESIS_PROFILE to be one of {', '.join(PROFILES)}, received {profile!r}"
        )
    for name, chosen in PROFILES.items():
        settings.register_profile(name, **PATIENT, **chosen)
    settings.load_profile(profile)


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

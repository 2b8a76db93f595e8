"""Timing of blocks that take turns, call by call.

`mxconv.selection.timing` has a clock of its own, which decides what a layer runs. The benchmarks
judge these decisions, so they don't share it.
"""

import os
import statistics
import time

import mxconv  # noqa: F401  (first: it prepares NumPy for MXNet)

from mxnet import autograd, nd

MODES = ("inference", "read", "training")
MIN_ROUNDS = 7  # even if they take longer than the seconds given, so that a median means something
MIN_LONG_ROUNDS = 3  # enough if the rounds take longer than LONG: long calls vary less
LONG = 1  # second


def on_one_core():
    """Keep this process and its children on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def call(block, x, mode):
    """The seconds that one call takes.

    'inference' waits for the output, 'read' also for an operator that reads it, 'training' for a
    forward and a backward pass.
    """
    start = time.perf_counter()
    if mode == "training":
        with autograd.record():
            y = block(x)
        y.backward()
    else:
        y = block(x)
        if mode == "read":
            y = [array + 0 for array in outputs(y)]
    nd.waitall()
    return time.perf_counter() - start


def outputs(y):
    """What a block returned, as a list of arrays."""
    return list(y) if isinstance(y, (list, tuple)) else [y]


def in_turn(blocks, x, mode, seconds):
    """The seconds of each call of each block, {name: times}, after a call or two to warm up.

    Every second round goes in reverse order, so that no block always follows the same one.
    """
    for block in blocks.values():
        if call(block, x, mode) < LONG / 2:
            call(block, x, mode)
    times, order = {name: [] for name in blocks}, list(blocks)
    start, elapsed, rounds = time.perf_counter(), 0, 0
    while elapsed < seconds or rounds < (MIN_LONG_ROUNDS if elapsed > LONG else MIN_ROUNDS):
        for name in order:
            times[name].append(call(blocks[name], x, mode))
        order.reverse()
        elapsed, rounds = time.perf_counter() - start, rounds + 1
    return times


def ratio(times, others):
    """The speed-up of `times` over `others`: a ratio of medians, and its spread.

    The spread is half the interquartile range of the ratios of calls in the same round.
    """
    quartiles = statistics.quantiles([b / a for a, b in zip(times, others)])
    spread = (quartiles[2] - quartiles[0]) / 2
    return statistics.median(others) / statistics.median(times), spread

"""Blocks timed in turn, call by call, on one core."""

import os
import statistics
import time

import mxconv  # noqa: F401  (first: it readies NumPy for MXNet)

from mxnet import autograd, nd

MODES = ("inference", "read", "training")
FEWEST = 3  # rounds, however few the seconds


def on_one_core():
    """Keep the process, and what it starts, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def call(block, x, mode):
    """The seconds of one call.

    'inference' waits for the output, 'read' for an operator that reads it, 'training' for a forward
    and a backward pass.
    """
    start = time.perf_counter()
    if mode == "training":
        with autograd.record():
            y = block(x)
        y.backward()
    else:
        y = block(x)
        y = y + 0 if mode == "read" else y
    nd.waitall()
    return time.perf_counter() - start


def in_turn(blocks, x, mode, seconds):
    """The times of each block (a dict by name), after two calls of each that don't count.

    Every other turn goes the other way round, so that none always comes after the same one.
    """
    for block in blocks.values():
        call(block, x, mode), call(block, x, mode)
    times, order = {name: [] for name in blocks}, list(blocks)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < FEWEST:
        for name in order:
            times[name].append(call(blocks[name], x, mode))
        order.reverse()
    return times


def ratio(times, others):
    """How many times faster `times` are than `others`: a ratio of medians, and its spread.

    The spread is half the distance between the quartiles of the ratios of single calls in turn.
    """
    quartiles = statistics.quantiles([b / a for a, b in zip(times, others)])
    spread = (quartiles[2] - quartiles[0]) / 2
    return statistics.median(others) / statistics.median(times), spread

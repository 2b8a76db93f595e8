"""PyTorch's convolution in a process of its own: reads a case per line, writes its median times.

measure.py runs it with a Python that has torch installed; nothing else is needed there. It inherits
the environment, and with it the number of threads and the kind of CPU kernels.
"""

import json
import statistics
import sys
import time
from functools import partial

import torch

MIN_CALLS = 5  # even if they take longer than the seconds given
MIN_LONG_CALLS = 3  # enough if the calls take longer than LONG: long calls vary less
LONG = 0.5  # seconds
FORMATS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def call(layer, x, training):
    layer.zero_grad()
    x.grad = None
    start = time.perf_counter()
    if training:
        y = layer(x)
        y.backward(torch.ones_like(y))
    else:
        with torch.inference_mode():
            layer(x)
    return time.perf_counter() - start


def in_turn(calls, seconds):
    """The seconds of each call, {name: times}; they take turns, after one each to warm up."""
    for timed in calls.values():
        timed()
    times, elapsed, rounds = {name: [] for name in calls}, 0, 0
    while elapsed < seconds or rounds < (MIN_LONG_CALLS if elapsed > LONG else MIN_CALLS):
        for name, timed in calls.items():
            times[name].append(timed())
            elapsed += times[name][-1]
        rounds += 1
    return times


def medians(arguments, shape, seconds):
    """The median seconds of the faster memory layout, by mode."""
    best = {}
    for mode in ("inference", "training"):
        training = mode == "training"
        found = []
        for memory_format in FORMATS.values():
            layer = torch.nn.Conv2d(**arguments).to(memory_format=memory_format)
            x = torch.randn(shape).to(memory_format=memory_format).requires_grad_(training)
            times = in_turn({mode: partial(call, layer, x, training)}, seconds / 2)
            found.append(statistics.median(times[mode]))
        best[mode] = min(found)
    return best


def answer(respond):
    """Write torch's version, and then the response to each question that is read."""
    print(json.dumps(torch.__version__), flush=True)
    for line in sys.stdin:
        print(json.dumps(respond(**json.loads(line))), flush=True)


if __name__ == "__main__":
    answer(medians)

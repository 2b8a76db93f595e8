"""PyTorch's convolution in a process of its own: reads a case per line, writes its median times.

measure.py runs it with a Python that has torch installed; nothing else is needed there. It inherits
the environment, and with it the number of threads and the kind of CPU kernels.
"""

import json
import statistics
import sys
import time

import torch

MIN_CALLS = 5  # even if they take longer than the seconds given
MIN_LONG_CALLS = 3  # enough if the calls take longer than LONG: long calls vary less
LONG = 0.5  # seconds
FORMATS = (torch.contiguous_format, torch.channels_last)


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


def medians(arguments, shape, seconds):
    """The median seconds of the faster memory layout, by mode."""
    best = {}
    for mode in ("inference", "training"):
        training = mode == "training"
        found = []
        for memory_format in FORMATS:
            layer = torch.nn.Conv2d(**arguments).to(memory_format=memory_format)
            x = torch.randn(shape).to(memory_format=memory_format).requires_grad_(training)
            call(layer, x, training)  # to warm up
            times, elapsed = [], 0
            while elapsed < seconds / 2 or len(times) < (
                MIN_LONG_CALLS if elapsed > LONG else MIN_CALLS
            ):
                times.append(call(layer, x, training))
                elapsed += times[-1]
            found.append(statistics.median(times))
        best[mode] = min(found)
    return best


if __name__ == "__main__":
    print(json.dumps(torch.__version__), flush=True)
    for line in sys.stdin:
        print(json.dumps(medians(**json.loads(line))), flush=True)

"""PyTorch's convolution in a process of its own: reads a case per line, writes its median times.

convolutions.py runs it with a Python that has torch installed; nothing else is needed there.
"""

import json
import statistics
import sys
import time

import torch

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
            for _ in range(2):  # to warm up
                call(layer, x, training)
            times, end = [], time.perf_counter() + seconds / 2
            while time.perf_counter() < end or len(times) < 5:
                times.append(call(layer, x, training))
            found.append(statistics.median(times))
        best[mode] = min(found)
    return best


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(torch.__version__), flush=True)
    for line in sys.stdin:
        print(json.dumps(medians(**json.loads(line))), flush=True)

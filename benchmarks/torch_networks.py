"""PyTorch's side of a whole network, in a process of its own that measure_networks.py starts.

It reads the network's ONNX file, so that the weights are the same, traces and freezes it, and times
it in both memory layouts. `optimize_for_inference` turns convolutions into oneDNN's own operators,
which makes some networks faster and others slower, so both are timed.

The Python that runs this needs torch, onnx and onnx2torch.
"""

import time
import warnings

from torch_peer import FORMATS, answer, in_turn

import numpy as np
import onnx2torch
import torch
from onnx2torch.node_converters.registry import add_converter
from onnx2torch.utils.common import OperationConverterResult, onnx_mapping_from_node

KINDS = {"frozen": lambda module: module, "optimized": torch.jit.optimize_for_inference}


class Normalization(torch.nn.Module):
    """Each vector along an axis, divided by its p-norm: what SSD300 does to its first features."""

    def __init__(self, axis, p):
        super().__init__()
        self.axis, self.p = axis, p

    def forward(self, x):
        return torch.nn.functional.normalize(x, p=self.p, dim=self.axis)


@add_converter(operation_type="LpNormalization", version=1)
def _(node, graph):
    """The operator of ONNX that onnx2torch lacks."""
    module = Normalization(node.attributes.get("axis", -1), node.attributes.get("p", 2))
    return OperationConverterResult(module, onnx_mapping_from_node(node))


class Side:
    """The network that was loaded last, in each way to run it."""

    def __init__(self):
        self.ways = {}  # name: (module, input)

    def respond(self, folder=None, seconds=None):
        """Load the network and input of a folder, and write the outputs there; or time it.

        The response is None after loading, or the reason why the network can't be loaded; after
        timing it is the seconds of each call, by way.
        """
        with torch.no_grad():
            if folder is None:
                return in_turn({way: lambda w=way: self.call(w) for way in self.ways}, seconds)
            try:
                self.load(folder)
            except NotImplementedError as error:
                return f"onnx2torch: {error}"
            for way, (module, x) in self.ways.items():
                y = module(x)
                arrays = y if isinstance(y, (list, tuple)) else [y]
                np.savez(f"{folder}/{way}.npz", *(array.numpy() for array in arrays))

    def load(self, folder):
        self.ways = {}  # frees the memory of the last one first
        x = torch.from_numpy(np.load(f"{folder}/x.npy"))
        for layout, memory_format in FORMATS.items():
            # One network for both kinds, which so share the large weights of dense layers.
            net = onnx2torch.convert(f"{folder}/net.onnx").eval().to(memory_format=memory_format)
            images = x.to(memory_format=memory_format)
            for kind, optimize in KINDS.items():
                # Unchecked, since the outputs are compared with MXNet's.
                module = torch.jit.freeze(torch.jit.trace(net, images, check_trace=False))
                self.ways[f"{layout}, {kind}"] = optimize(module), images

    def call(self, way):
        """The seconds of one call."""
        module, x = self.ways[way]
        start = time.perf_counter()
        module(x)
        return time.perf_counter() - start


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the tracer's, about shapes that become constants
    answer(Side().respond)

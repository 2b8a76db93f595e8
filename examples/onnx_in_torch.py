"""An ONNX file as a PyTorch module: its weights, its outputs, and whether it trains.

leave_mxnet.py writes the files and starts this script. It imports neither mxconv nor mxnet, so it
runs with any Python that has torch and onnx2torch.
"""

import argparse
import sys

import numpy as np

TOLERANCE = 1e-5  # of the largest element


def named_weights(module, path):
    """The weights of `module`, {name in the ONNX file it comes from: (name in it, array)}.

    Both list them in the order in which the graph uses them. PyTorch also counts the batches that a
    BatchNorm has seen, which isn't in the file.
    """
    import onnx

    stored = [t for t in onnx.load(path).graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    state = module.state_dict().items()
    arrays = [(name, value) for name, value in state if not name.endswith("num_batches_tracked")]
    if len(stored) != len(arrays):
        raise ValueError(f"{path} has {len(stored)} arrays, its module has {len(arrays)}")
    return {tensor.name: (name, value.numpy()) for tensor, (name, value) in zip(stored, arrays)}


def difference(actual, expected):
    """The largest difference of two arrays, relative to the largest element."""
    if actual.shape != expected.shape:
        return np.inf
    return np.abs(actual - expected).max() / (np.abs(expected).max() or 1)


def compare(prefix):
    """Compare the module of prefix.onnx with the arrays in prefix.npz: what differs, or None."""
    import torch
    from onnx2torch import convert

    module = convert(f"{prefix}.onnx").eval()
    with np.load(f"{prefix}.npz") as file:
        expected = dict(file)
    x, y = (expected.pop(name) for name in ("input", "output"))
    weights = named_weights(module, f"{prefix}.onnx")
    if set(weights) != set(expected):
        return f"onnx_in_torch: other weights: {sorted(set(weights) ^ set(expected))}"
    differences = {name: difference(weights[name][1], expected[name]) for name in expected}
    theirs = [f"{name} is {weights[name][0]}" for name in expected]
    print(f"in PyTorch {torch.__version__}: {theirs[0]}, {theirs[1]}, ...")
    worst = max(differences, key=differences.get)
    print(f"{len(weights)} arrays of weights: largest difference {differences[worst]:.1e}")

    with torch.no_grad():
        off = difference(module(torch.from_numpy(x)).numpy(), y)
    print(f"the output: largest difference {off:.1e} of the largest element")

    module.train()(torch.from_numpy(x)).square().mean().backward()
    parameters = list(module.parameters())
    trained = sum(p.grad is not None and bool(p.grad.abs().max() > 0) for p in parameters)
    print(f"gradients reach {trained} of {len(parameters)} parameters")
    if not differences[worst] <= TOLERANCE:
        return f"onnx_in_torch: {worst} differs by {differences[worst]:.1e}"
    if not off <= TOLERANCE:
        return f"onnx_in_torch: the output differs by {off:.1e}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefix", help="of the files that leave_mxnet.py has written")
    return compare(parser.parse_args().prefix)


if __name__ == "__main__":
    sys.exit(main())

"""A trained LeNet as an ONNX file: other runtimes compute the same outputs from it.

It needs the extra mxconv[onnx]. The network runs with algorithm='im2col', which MXNet itself can't
export; `export_onnx` writes every algorithm as ONNX's convolution.
"""

import argparse
import sys
from pathlib import Path

import digits  # first: it sets how many threads MXNet uses
from mxconv import MultiChannelConv2D, export_onnx, set_algorithm

import numpy as np

try:
    import onnx
    import onnxruntime
except ImportError as error:
    sys.exit(f'export_onnx: {error}: run  {sys.executable} -m pip install "mxconv[onnx]"')

FILE = Path(__file__).resolve().parent / "output" / "lenet.onnx"
TOLERANCE = 1e-4  # absolute, of outputs of 10 and more


def run(path, X):
    """The outputs that onnxruntime computes from the file for the images `X`, a NumPy array."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"data": X.asnumpy()})
    return y


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=digits.EPOCHS, help="(%(default)s)")
    epochs = parser.parse_args().epochs
    training, (X, y) = digits.load()
    net = digits.lenet(MultiChannelConv2D)
    digits.train(net, training, epochs, "MultiChannelConv2D")
    set_algorithm(net, "im2col")

    FILE.parent.mkdir(exist_ok=True)
    export_onnx(net, FILE, (None, 1, 8, 8))  # None allows any batch size

    graph = onnx.load(str(FILE))
    print(f"wrote {FILE}: {FILE.stat().st_size} bytes, opset {graph.opset_import[0].version}")
    print("its operators:", " ".join(node.op_type for node in graph.graph.node))
    here, there = net(X).asnumpy(), run(FILE, X)
    difference = np.abs(there - here).max()
    print(
        f"{len(X)} test images: largest difference {difference:.1e} of outputs up to "
        f"{np.abs(here).max():.1f}"
    )
    print(
        f"accuracy in MXNet {digits.accuracy(net, (X, y)):.4f}, in onnxruntime "
        f"{(there.argmax(axis=1) == y.asnumpy()).mean():.4f}"
    )
    if not difference <= TOLERANCE:
        return f"export_onnx: outputs differ by {difference:.1e}"


if __name__ == "__main__":
    sys.exit(main())

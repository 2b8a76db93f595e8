"""The way out of MXNet: a trained U-Net in onnxruntime, and as a PyTorch module that trains on.

It needs the extra mxconv[onnx]. The part in PyTorch, onnx_in_torch.py, runs in a process of its
own, with any Python that has torch and onnx2torch: `--torch-python` names it. Without one, only
that part is left out.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import export_onnx  # first: it sets how many threads MXNet uses
import for_inference
import mxconv
from onnx_in_torch import TOLERANCE, difference

import numpy as np

PREFIX = for_inference.OUTPUT / "leave_mxnet"
IN_TORCH = Path(__file__).resolve().parent / "onnx_in_torch.py"


def has_torch(python):
    """Whether an interpreter can import what onnx_in_torch.py needs."""
    command = [python, "-c", "import onnx2torch"]  # which imports torch
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--steps", type=int, default=for_inference.STEPS, help="of training (%(default)s)"
    )
    parser.add_argument(
        "--torch-python",
        default=sys.executable,
        metavar="PYTHON",
        help="an interpreter with torch and onnx2torch (%(default)s)",
    )
    options = parser.parse_args()
    image, labels = for_inference.flower()
    net = for_inference.UNet()
    for_inference.train(net, image, labels, options.steps)
    y = net(image).asnumpy()

    PREFIX.parent.mkdir(exist_ok=True)
    mxconv.export_onnx(net, f"{PREFIX}.onnx", image.shape)
    weights = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    np.savez(f"{PREFIX}.npz", input=image.asnumpy(), output=y, **weights)
    print(f"wrote {PREFIX}.onnx")
    off = difference(export_onnx.run(f"{PREFIX}.onnx", image), y)
    print(f"in onnxruntime: largest difference {off:.1e} of the largest element")
    if not off <= TOLERANCE:
        return f"leave_mxnet: onnxruntime's output differs by {off:.1e}"

    if not has_torch(options.torch_python):
        print(
            f"not tried in PyTorch, as {options.torch_python} has no onnx2torch: run  "
            f"{options.torch_python} -m pip install torch onnx2torch  or name another Python by "
            "--torch-python"
        )
        return None
    return subprocess.run([options.torch_python, str(IN_TORCH), str(PREFIX)]).returncode


if __name__ == "__main__":
    sys.exit(main())

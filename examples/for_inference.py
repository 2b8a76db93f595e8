"""Two networks before and after for_inference: MobileNet-v2, and a U-Net that finds a flower.

The U-Net sees a photograph in gray and learns which pixels are petals, which the colors tell. Both
networks are then made as fast as this machine can run them, compared with what they were, and
exported. A process without mxconv runs the files. Times aren't checked; outputs are.
"""

import argparse
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple, Optional

import digits  # first: it sets how many threads MXNet uses
from mxconv import MultiChannelConv2D, for_inference
from onnx_in_torch import TOLERANCE, difference

import mxnet as mx
import numpy as np
from matplotlib.figure import Figure
from mxnet import autograd, gluon, init, nd
from mxnet.gluon import nn
from mxnet.gluon.model_zoo import vision
from sklearn.datasets import load_sample_image
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "output"
DOCS = HERE.parent / "docs"
STEPS = 100
CROPS, SIZE = 4, 96  # the photograph's parts in a batch, and their height and width
MIN_ACCURACY = 0.95  # of the pixels, after STEPS
SECONDS = 0.2  # to compare two networks for; the default, 1.0, is less easily disturbed
ALONE = """
import sys, warnings
import numpy
warnings.filterwarnings("ignore", "Cannot decide type")
numpy.bool, numpy.int = bool, int  # MXNet asks for them; NumPy dropped them in 1.24
import mxnet
prefix, = sys.argv[1:]
net = mxnet.gluon.SymbolBlock.imports(prefix + "-symbol.json", ["data"], prefix + "-0000.params")
net.hybridize(static_alloc=True, static_shape=True)
y = net(mxnet.nd.array(numpy.load(prefix + "-x.npy")))
numpy.save(prefix + "-y.npy", y.asnumpy())
assert "mxconv" not in sys.modules
"""


class UNet(gluon.HybridBlock):
    """A U-Net of three levels: two classes for each pixel of images whose sides 4 divides."""

    def __init__(self, widths=(12, 24, 36)):
        super().__init__()
        with self.name_scope():
            self.down, self.up, self.join = (nn.HybridSequential() for _ in range(3))
            for width in widths:
                self.down.add(twice(width))
            for width in widths[-2::-1]:
                self.up.add(nn.Conv2DTranspose(width, 2, strides=2))
                self.join.add(twice(width))
            self.head = MultiChannelConv2D(2, 1)

    def hybrid_forward(self, F, x):
        kept = []
        for level, block in enumerate(self.down):
            x = block(F.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max") if level else x)
            kept.append(x)
        for up, join, skipped in zip(self.up, self.join, kept[-2::-1]):
            x = join(F.concat(up(x), skipped, dim=1))
        return self.head(x)


def twice(width):
    """Two 3x3 convolutions, each with a BatchNorm and a ReLU."""
    block = nn.HybridSequential()
    for _ in range(2):
        block.add(MultiChannelConv2D(width, 3, padding=1, use_bias=False))
        block.add(nn.BatchNorm(), nn.Activation("relu"))
    return block


def flower():
    """scikit-learn's flower.jpg at half its size, and its petals.

    Returns the photograph in gray, (1, 1, 212, 320) from 0 to 1, and (1, 212, 320) ones and zeros:
    petals are what is redder than green.
    """
    colors = load_sample_image("flower.jpg")[:424].reshape(212, 2, 320, 2, 3).mean(axis=(1, 3))
    petals = colors[..., 0] > colors[..., 1] + 20
    return nd.array(colors.mean(axis=2) / 255).reshape((1, 1, 212, 320)), nd.array(petals[None])


def train(net, image, labels, steps):
    """Train `net` from the seed on crops of `image`, some of them mirrored."""
    mx.random.seed(digits.SEED)
    random = np.random.RandomState(digits.SEED)
    net.initialize(init.Xavier(), force_reinit=True)
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.01})
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss(axis=1)
    both = nd.concat(image[0], labels, dim=0)
    for _ in tqdm(range(steps), desc="U-Net", unit="step", disable=None):
        crops = [crop(both, random) for _ in range(CROPS)]
        batch = nd.stack(*crops)
        with autograd.record():
            loss = loss_of(net(batch[:, :1]), batch[:, 1])
        loss.backward()
        trainer.step(CROPS)


def crop(image, random):
    """A random part of `image`, (c, SIZE, SIZE), mirrored half of the time."""
    top, left = (random.randint(side - SIZE + 1) for side in image.shape[1:])
    part = image[:, top : top + SIZE, left : left + SIZE]
    return part.flip(axis=2) if random.randint(2) else part


class Compared(NamedTuple):
    """A network before and after: its outputs, the report as text, and what is wrong, or None."""

    before: np.ndarray
    after: np.ndarray
    report: str
    problem: Optional[str]


def compare(name, net, x, seconds):
    """Print what `for_inference` makes of `net`, run it with and without mxconv, and compare."""
    fast = for_inference(net, x, seconds=seconds, progress=sys.stderr.isatty())
    before, after = net(x).asnumpy(), fast(x).asnumpy()
    report = f"{name}\n{fast.report}"
    print(report)
    prefix = OUTPUT / name.lower()
    fast.export(prefix)
    np.save(f"{prefix}-x.npy", x.asnumpy())
    subprocess.run([sys.executable, "-c", ALONE, str(prefix)], check=True)
    alone = np.load(f"{prefix}-y.npy")
    differences = difference(after, before), difference(alone, after)
    print(
        f"largest difference from the network before {differences[0]:.1e}, and of the exported "
        f"files, in a process without mxconv, from the network after {differences[1]:.1e}\n"
    )
    is_right = max(differences) <= TOLERANCE
    problem = None if is_right else f"for_inference: {name} differs by {differences}"
    return Compared(before, after, report, problem)


def put_on_page(page, reports):
    """Replace the reports on a page of the documentation."""
    before, rest = page.read_text(encoding="utf-8").split("<!-- report -->\n")
    after = rest.split("<!-- end -->")[1]
    text = textwrap.indent("\n\n".join(reports), "    ")
    page.write_text(f"{before}<!-- report -->\n\n{text}\n\n<!-- end -->{after}", encoding="utf-8")


def draw(image, labels, before, after, path):
    """Write the photograph, its petals and both segmentations to a PNG of 1300 x 900 pixels."""
    pictures = [
        ("what the U-Net sees", image[0, 0].asnumpy()),
        ("what it has learned from: the petals, by their color", labels[0].asnumpy()),
        ("the petals that it finds", before[0].argmax(axis=0)),
        ("the petals that it finds after for_inference", after[0].argmax(axis=0)),
    ]
    figure = Figure(figsize=(13, 9), dpi=100, constrained_layout=True)
    for panel, (title, pixels) in zip(figure.subplots(2, 2).flat, pictures):
        panel.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        panel.set_title(title)
        panel.set_axis_off()
    figure.savefig(str(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help="of training (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="to compare two networks for (%(default)s)"
    )
    parser.add_argument(
        "--docs", action="store_true", help="write the reports and the picture into docs/ as well"
    )
    options = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)

    mobilenet = vision.mobilenet_v2_1_0()
    mx.random.seed(digits.SEED)
    mobilenet.initialize(init.Xavier())
    x = nd.random.uniform(shape=(1, 3, 224, 224))
    mobilenet(x)  # infers the input channels and draws the weights
    image, labels = flower()
    unet = UNet()
    train(unet, image, labels, options.steps)
    results = [
        compare("MobileNet-v2", mobilenet, x, options.seconds),
        compare("U-Net", unet, image, options.seconds),
    ]
    before, after = results[-1][:2]
    pictures = [OUTPUT, DOCS / "figures"] if options.docs else [OUTPUT]
    for folder in pictures:
        draw(image, labels, before, after, folder / "for_inference.png")
        print(f"wrote {folder / 'for_inference.png'}")
    if options.docs:
        put_on_page(DOCS / "inference.md", [result.report for result in results])
    shares = [(y.argmax(axis=1) == labels.asnumpy()).mean() for y in (before, after)]
    print(f"pixels told rightly: {shares[0]:.4f} before, {shares[1]:.4f} after")
    if options.steps >= STEPS and min(shares) < MIN_ACCURACY:
        return f"for_inference: {min(shares):.4f} of the pixels, expected {MIN_ACCURACY}"
    return next((result.problem for result in results if result.problem), None)


if __name__ == "__main__":
    sys.exit(main())

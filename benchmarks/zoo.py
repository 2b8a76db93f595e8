"""The networks to measure, and parameters for them that make every operator do something."""

from collections import namedtuple
from importlib.util import find_spec

import mxconv  # noqa: F401  (first: it prepares NumPy for MXNet)

import mxnet as mx
from mxnet import nd
from mxnet.gluon import HybridBlock, nn
from mxnet.gluon.model_zoo import vision

# What makes a network and the shape of one image. `only_mxnet` says why PyTorch can't compute the
# same, if so; `needs` is a package that has to be installed.
Network = namedtuple("Network", "make image only_mxnet needs", defaults=(None, None))
NMS = "non-maximum suppression is MXNet's own"


def lenet():
    """LeNet, for images of 28x28 pixels."""
    net = nn.HybridSequential(prefix="")
    net.add(
        nn.Conv2D(6, 5, padding=2, activation="sigmoid"),
        nn.AvgPool2D(),
        nn.Conv2D(16, 5, activation="sigmoid"),
        nn.AvgPool2D(),
        nn.Dense(120, activation="sigmoid"),
        nn.Dense(84, activation="sigmoid"),
        nn.Dense(10),
    )
    return net


def segmentation():
    """ResNet-18 with a head that separates two classes, pixel by pixel."""
    net = nn.HybridSequential(prefix="")
    net.add(vision.resnet18_v1(prefix="backbone_").features[:-1])
    net.add(nn.Conv2D(64, 1, activation="relu"))
    net.add(nn.HybridLambda(lambda F, x: F.UpSampling(x, scale=32, sample_type="nearest")))
    net.add(nn.Conv2D(2, 3, padding=1))
    return net


def srcnn():
    """SRCNN, which sharpens an enlarged image of one channel."""
    net = nn.HybridSequential(prefix="")
    net.add(
        nn.Conv2D(64, 9, padding=4, activation="relu"),
        nn.Conv2D(32, 1, activation="relu"),
        nn.Conv2D(1, 5, padding=2),
    )
    return net


class UNet(HybridBlock):
    """A small U-Net: a level per width, two classes for each pixel, heads of k x k."""

    def __init__(self, widths, k):
        super().__init__()
        with self.name_scope():
            self.down, self.up, self.join = (nn.HybridSequential() for _ in range(3))
            for width in widths:
                self.down.add(_twice(width))
            for width in widths[-2::-1]:
                self.up.add(nn.Conv2DTranspose(width, 2, strides=2))
                self.join.add(_twice(width))
            self.head = nn.Conv2D(2, k, padding=k // 2)

    def hybrid_forward(self, F, x):
        kept = []
        for level, block in enumerate(self.down):
            x = block(F.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max") if level else x)
            kept.append(x)
        for up, join, skipped in zip(self.up, self.join, kept[-2::-1]):
            x = join(F.concat(up(x), skipped, dim=1))
        return self.head(x)


def _twice(width):
    """Two 3x3 convolutions, each with a ReLU."""
    block = nn.HybridSequential()
    block.add(*(nn.Conv2D(width, 3, padding=1, activation="relu") for _ in range(2)))
    return block


class Predictions(HybridBlock):
    """What an SSD predicts for every anchor, before it decodes boxes and drops overlapping ones."""

    def __init__(self, ssd):
        super().__init__(prefix="")
        # Not the whole network: its anchors would be parameters that no operator reads.
        self.features = ssd.features
        self.class_predictors, self.box_predictors = ssd.class_predictors, ssd.box_predictors

    def hybrid_forward(self, F, x):
        features = self.features(x)
        return [
            F.concat(*(F.flatten(predict(y)) for y, predict in zip(features, heads)), dim=1)
            for heads in (self.class_predictors, self.box_predictors)
        ]


def ssd():
    """SSD300 on VGG-16, with heads that are less sure of themselves than random weights make them.

    Otherwise many scores would round to 1, and rounding errors would decide which boxes are kept.
    """
    net = _gluoncv("ssd_300_vgg16_atrous_voc", pretrained_base=False)
    for weight in net.collect_params(".*predictor.*_weight").values():
        weight.init = mx.init.Normal(0.001)
    return net


def _gluoncv(name, **kwargs):
    from gluoncv import model_zoo

    return model_zoo.get_model(name, pretrained=False, **kwargs)


ZOO = {
    "LeNet": Network(lenet, (1, 28, 28)),
    "ResNet-18": Network(vision.resnet18_v1, (3, 224, 224)),
    "ResNet-50": Network(vision.resnet50_v1, (3, 224, 224)),
    "MobileNet-v1": Network(vision.mobilenet1_0, (3, 224, 224)),
    "MobileNet-v2": Network(vision.mobilenet_v2_1_0, (3, 224, 224)),
    "MobileNet-v3": Network(lambda: _gluoncv("mobilenetv3_large"), (3, 224, 224), needs="gluoncv"),
    "VGG-16": Network(vision.vgg16, (3, 224, 224)),
    "SqueezeNet 1.1": Network(vision.squeezenet1_1, (3, 224, 224)),
    "DenseNet-121": Network(vision.densenet121, (3, 224, 224)),
    "Inception-v3": Network(vision.inception_v3, (3, 299, 299)),
    "SSD300": Network(ssd, (3, 300, 300), only_mxnet=NMS, needs="gluoncv"),
    "SSD300, predictions": Network(lambda: Predictions(ssd()), (3, 300, 300), needs="gluoncv"),
    "segmentation head on ResNet-18": Network(segmentation, (3, 128, 128)),
    "SRCNN": Network(srcnn, (1, 128, 128)),
    "U-Net 12/24/36": Network(lambda: UNet((12, 24, 36), 1), (3, 128, 128)),
    "U-Net 16/32/64": Network(lambda: UNet((16, 32, 64), 3), (3, 128, 128)),
}


def missing(name):
    """The package that a network needs and that isn't installed, or None."""
    needs = ZOO[name].needs
    return needs if needs and find_spec(needs) is None else None


def initialized(name, n):
    """A network with random parameters, and a batch of n images; the same ones in each process.

    He's variance keeps the values of deep networks in range. Each BatchNorm gets statistics, scales
    and shifts of its own, since those of a new layer, 0 and 1, would leave its input as it is.
    """
    mx.random.seed(0)
    net = ZOO[name].make()
    net.initialize(mx.init.Xavier("gaussian", "in", 2))
    x = nd.random.normal(shape=(n, *ZOO[name].image))
    net(x[:1])  # for the channels that are deferred until the first call
    for endings, least, most in (
        ("gamma|running_var", 0.5, 1.5),
        ("beta|running_mean", -0.2, 0.2),
    ):
        for parameter in net.collect_params(f".*_({endings})$").values():
            parameter.set_data(nd.random.uniform(least, most, parameter.shape))
    return net, x

"""The convolutions to measure: those of well-known networks, and kinds that are slow in MXNet."""

from collections import namedtuple

from mxconv import ConvGeometry, count_cost
from zoo import ZOO

import mxnet as mx

Case = namedtuple("Case", "group geometry size")  # size is (h, w) of the input
NETWORKS = ("LeNet", "ResNet-50", "VGG-16", "MobileNet-v2")  # whose convolutions are measured


def same(c_i, c_o, k, size, **rest):
    """A convolution of a square input that keeps its height and width, and that input's size."""
    padding = rest.get("dilation", 1) * (k // 2)
    return ConvGeometry(c_o, k, padding=padding, in_channels=c_i, **rest), (size, size)


ONE_CHANNEL, FEW_CHANNELS = "filters of 1 channel", "filters of 2 and 3 channels"
CHOSEN = {
    ONE_CHANNEL: [
        *(same(1, 1, k, size) for k, size in ((3, 128), (7, 256), (9, 200), (15, 256), (21, 160))),
        *(same(1, 1, k, 128) for k in (31, 63)),
        same(1, 4, 15, 64),
    ],
    FEW_CHANNELS: [
        same(2, 1, 7, 128),
        same(3, 2, 9, 96),
        *(same(3, 3, k, 128) for k in (7, 11, 15)),
        same(3, 1, 5, 128),
    ],
    "heads": [
        same(64, 3, 9, 64),
        same(64, 2, 5, 64),
        *(same(64, c_o, 3, 64) for c_o in (1, 2, 4)),
        same(64, 3, 3, 128),
        same(128, 4, 3, 32),
        same(48, 3, 5, 48),
        same(96, 1, 3, 56),
    ],
    "strided, grouped and dilated heads": [
        same(64, 2, 3, 64, strides=2),
        *(same(64, 4, 3, 64, groups=g) for g in (2, 4)),
        same(64, 4, 3, 64, dilation=2),
        same(64, 1, 3, 64, dilation=4),
        *(same(2048, 21, 3, 41, dilation=d) for d in (6, 12)),  # DeepLab's
    ],
    "odd channels": [
        same(64, 8, 3, 64),
        same(64, 12, 3, 64),
        same(128, 12, 3, 32),
        same(18, 18, 3, 56),
        same(30, 30, 3, 56),
        same(36, 36, 3, 56),
        same(72, 72, 3, 28),
        same(64, 21, 1, 64),
        same(64, 21, 3, 32),
        same(48, 10, 5, 24),
        same(100, 30, 3, 28),
        same(256, 84, 3, 38),
        same(33, 33, 3, 56, groups=33),
        same(58, 58, 3, 28, groups=58),
        same(128, 128, 3, 28, groups=32),
    ],
    "SSD heads": [
        same(512, 4 * 21, 3, 38),
        same(1024, 6 * 21, 3, 19),
        same(512, 6 * 21, 3, 10),
        same(256, 6 * 21, 3, 5),
        same(512, 4 * 4, 3, 38),
        same(1024, 6 * 4, 3, 19),
    ],
    "stems": [same(3, 64, 3, 224), same(3, 32, 3, 224), same(16, 96, 1, 112), same(64, 64, 3, 112)],
    "the chapter": [
        (ConvGeometry(1, 2, in_channels=2), (3, 3)),
        (ConvGeometry(3, 2, in_channels=2), (3, 3)),
        (ConvGeometry(2, 1, in_channels=3), (3, 3)),
    ],
}
GROUPS = (*CHOSEN, *NETWORKS)

# On both sides of the thresholds in mxconv/selection/rules/; measured only on request.
CHOSEN["the rule"] = [
    *(same(1, c_o, k, 64) for c_o, k in ((1, 5), (2, 7), (3, 7), (4, 9), (6, 11), (8, 11))),
    *(same(c, c, k, 64) for c, k in ((3, 5), (3, 7), (4, 7), (8, 5))),
    *(same(c_i, 1, 3, 64) for c_i in (2, 4, 8, 16)),
    *(same(64, 4, 3, size) for size in (8, 16, 32)),
    *(same(c_i, 4, 5, 64) for c_i in (16, 32, 64)),
    *(same(64, c_o, 7, 64) for c_o in (1, 3, 5, 7, 10)),
    *(same(c_i, 12, 3, 28) for c_i in (16, 20, 24, 32, 36, 50, 64, 100, 128)),
    *(same(64, c_o, 3, 28) for c_o in (9, 36, 84, 102)),
    *(same(8, c_o, 3, 64) for c_o in (9, 12, 20)),
    *(same(512, c_o, 3, 28) for c_o in (21, 40, 72, 84, 126, 250)),
    *(same(512, c_o, 3, 14) for c_o in (21, 84, 126)),
    *(same(c, c, 3, size) for c in (20, 36, 60, 100) for size in (28, 56)),
    *(same(c, c, 3, 56) for c in (7, 9, 18)),
    *(same(36, c_o, 3, 56) for c_o in (4, 9, 24, 32, 52, 60)),
    same(1, 1, 7, 64, dilation=2),
    *(same(64, c_o, 3, 64, dilation=2) for c_o in (1, 3, 12, 72, 84)),
    *(same(64, 2, 3, 64, dilation=d) for d in (4, 8)),
    *(same(c, 12, 3, 56, dilation=2) for c in (16, 24, 36)),
    same(33, 33, 3, 28, groups=33, dilation=2),
    *(same(c, c, 3, 28, groups=c) for c in (9, 15, 20, 33, 40, 58, 100)),
    *(same(c, c, 5, 14, groups=c) for c in (20, 58, 100)),
    # First layers and 1x1 kernels: products per output, input channels, pixels and expansion.
    *(same(3, 32, k, size) for k in (3, 9, 11) for size in (28, 56)),
    *(same(c_i, 32, 3, 56) for c_i in (4, 5, 8)),
    *(same(c, c, 1, size) for c in (64, 256, 272) for size in (20, 28, 56)),
    *(same(24, c_o, 1, size) for c_o in (96, 112, 144) for size in (28, 40, 56, 64)),
    # Heads with about as many outputs as the slow kernel computes at once.
    *(same(c_i, c_o, 3, 32) for c_i in (16, 32, 64, 128) for c_o in (4, 5, 6, 7, 9)),
    # Filters of 1, 2 and 3 channels.
    *(same(1, c_o, k, size) for k in (5, 7, 9) for c_o, size in ((1, 32), (1, 128), (4, 64))),
    *(same(2, c_o, k, 64) for k in (3, 5, 7, 9) for c_o in (1, 2, 4)),
    *(same(2, 1, k, size) for k in (5, 7) for size in (32, 128)),
    *(same(3, c_o, k, 64) for k in (3, 5, 7, 9) for c_o in (1, 2, 4)),
    *(same(3, 3, k, size) for k in (5, 7, 9) for size in (32, 128)),
    # Depthwise convolutions.
    *(same(c, c, 3, size, groups=c) for c in (9, 20, 33, 58, 100) for size in (14, 56)),
    # Heads with a stride, groups or dilation.
    *(same(64, c_o, 3, 64, strides=2) for c_o in (1, 2, 4, 12)),
    *(same(c_i, 2, 5, 64, strides=2) for c_i in (16, 64)),
    *(same(64, 4, 3, size, groups=g) for g in (2, 4) for size in (32, 64)),
    *(same(64, 12, 3, 64, groups=g) for g in (2, 4)),
    *(same(c_i, 4, 3, 64, dilation=2) for c_i in (16, 64)),
    same(64, 1, 3, 64, dilation=4),
]


def cases(groups=GROUPS):
    """Yield the cases of groups; equal convolutions of a network are one case."""
    for group in groups:
        found = CHOSEN[group] if group in CHOSEN else _convolutions(group)
        yield from (Case(group, geometry, size) for geometry, size in dict.fromkeys(found))


def _convolutions(name):
    net = ZOO[name].make()
    net.initialize(mx.init.Zero())
    for layer in count_cost(net, (1, *ZOO[name].image)).layers:
        if layer.kind == "Conv2D":
            yield layer.cost.geometry, layer.cost.input_shape[2:]


def short(geometry, size):
    """A convolution in a few characters, such as 64>128 3x3 @56 s2: 56 is the input's height."""
    k = "x".join(map(str, geometry.kernel_size))
    text = f"{geometry.in_channels}>{geometry.channels} {k} @{size[0]}"
    if geometry.strides != (1, 1):
        text += f" s{geometry.strides[0]}"
    if geometry.dilated:
        text += f" d{geometry.dilation[0]}"
    return text if geometry.groups == 1 else f"{text} g{geometry.groups}"

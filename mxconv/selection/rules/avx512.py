"""The rule for CPUs with AVX-512: 'native', unless another algorithm was clearly faster.

It applies to float32, for which oneDNN's fast kernels compute 16 or 8 output channels side by side.
For most other numbers of channels MXNet falls back to slower kernels. Small convolutions stay with
'native', because a single operator costs the least to call.

`predict` asks one question per algorithm, in the order of `QUESTIONS`, and the first yes decides.
Each question has a section below: its limits as constants, then the function.

The evidence is benchmarks/rule.md, which `make rule` writes. It has convolutions on both sides of
most limits; where it doesn't, a comment says so. Comments cite its rows: `20>12 3x3 @28: 0.90` is a
convolution from 20 to 12 channels of a 28x28 input, and the algorithm's speed-up over 'native' is
0.90, in inference with one image. A figure in between is the quantity that the limit is about.
Everything was measured on one core of an AMD EPYC with AVX-512.

To write the rule for another kind of CPU, run `make rule` there. Copy this module, move the limits
to where the new figures cross 1, and replace the citations. List the copy in `rules/__init__.py`,
and add its choices to tests/test_rules.py.
"""

from typing import Callable, NamedTuple, Tuple

from ...algorithms import kn2row, pad_channels, split_channels
from ...algorithms.pad_channels import HALF_LANES, LANES
from ...geometry import ConvGeometry

MIN_KERNEL = 3  # rows and columns; smaller kernels do too little with each element moved


class Work(NamedTuple):
    """How much there is to compute.

    A MAC is a multiplication and its addition. A pixel of the output has c_o outputs.
    """

    pixels: int  # of all images in the batch
    pixels_per_image: int
    macs_per_output: int
    macs: int


def predict(geometry: ConvGeometry, input_shape: Tuple[int, ...]) -> str:
    """Return the algorithm for a normalized geometry and an input of shape (n, c_i, h, w)."""
    n, _, o_h, o_w = geometry.output_shape(input_shape)
    c_o, c_i, k_h, k_w = geometry.weight_shape
    pixels, macs_per_output = n * o_h * o_w, c_i * k_h * k_w
    work = Work(pixels, o_h * o_w, macs_per_output, pixels * macs_per_output * c_o)
    return next((name for name, pays in QUESTIONS if pays(geometry, work)), "native")


def _is_plain(geometry: ConvGeometry) -> bool:
    """Return whether it is one group with stride 1 and a kernel that isn't too small."""
    _, _, k_h, k_w = geometry.weight_shape
    return min(k_h, k_w) >= MIN_KERNEL and geometry.groups == 1 and geometry.strides == (1, 1)


# train_layout: outputs so cheap to compute that their memory layout matters.
#
# No table has both sides of these limits. docs/benchmarks.md (1x1, depthwise and first layers of
# ResNet-50 and MobileNet-v2) shows what gains inside them, also when the output is read next.

MAX_LAYOUT_MACS = 256  # per output
MAX_LAYOUT_INPUTS = 4  # input channels of a kernel larger than 1x1: those of an image
MIN_LAYOUT_PIXELS = 784  # 28 x 28
MAX_EXPANSION = 4  # outputs per input of a 1x1 kernel; above it, another limit applies:
MIN_LAYOUT_PIXELS_EXPANDING = 3136  # 56 x 56; 24>144 1x1 @56: 0.98, and 1.33 if the output is read
# Each call converts the layout of the weight, so the output must have 8 times as many elements.
MIN_LAYOUT_PIXELS_PER_MAC = 8


def _train_layout_pays(geometry: ConvGeometry, work: Work) -> bool:
    c_o, c_i, _, _ = geometry.weight_shape
    cheap = c_o % LANES == 0 and work.macs_per_output <= MAX_LAYOUT_MACS and not geometry.dilated
    one_group = geometry.groups == 1 and (geometry.pointwise or c_i <= MAX_LAYOUT_INPUTS)
    expanding = geometry.pointwise and c_o > MAX_EXPANSION * c_i
    min_pixels = MIN_LAYOUT_PIXELS_EXPANDING if expanding else MIN_LAYOUT_PIXELS
    return (
        cheap
        and (geometry.depthwise or one_group)
        and work.pixels >= max(min_pixels, MIN_LAYOUT_PIXELS_PER_MAC * work.macs_per_output)
    )


# split_channels: depthwise convolutions, most of whose channels the fast kernel can take.

MIN_SPLIT_OUTPUTS = 2**14  # 9>9 3x3 @28 g9, 0.7e4: 0.84; 33>33 3x3 @28 g33, 2.6e4: 1.39
# All channels over those left over: 15>15 3x3 @28 g15, 2.1: 0.86; 20>20 3x3 @28 g20, 5: 1.07.
MIN_SPLIT_RATIO = 4


def _split_channels_pays(geometry: ConvGeometry, work: Work) -> bool:
    c_o, _, k_h, k_w = geometry.weight_shape
    if split_channels.unsupported(geometry) or min(k_h, k_w) < MIN_KERNEL:
        return False
    if geometry.dilated:
        return False  # 33>33 3x3 @28 d2 g33: 1.36, but 0.89 in training
    left_over = c_o % split_channels.LANES
    return c_o >= MIN_SPLIT_RATIO * left_over and work.pixels * c_o >= MIN_SPLIT_OUTPUTS


# kn2row: few taps, of all outputs together, compared with the input channels. Each product of a tap
# and a pixel is moved separately; zeros between dilated taps are moved too, so they count.

MAX_TAPS_PER_INPUT = 3  # 64>3 7x7 @64, 2.3: 4.37; 32>4 5x5 @64, 3.1: 2.25, with tiles 2.95
# With more outputs than HALF_LANES, the alternative is pad_channels:
# 100>12 3x3 @28, 1.1: 1.73, with padding 1.44; 64>12 3x3 @28, 1.7: 1.39, with padding 1.53.
MAX_TAPS_PER_INPUT_ABOVE_HALF_LANES = 4 / 3
# For small inputs, rearranging the weight takes longer than the sums.
MIN_KN2ROW_INPUTS = 2**14  # elements; 64>4 3x3 @8, 0.4e4: 0.81; 64>4 3x3 @16, 1.6e4: 1.36
MIN_KN2ROW_INPUTS_PER_OUTPUT = 2**11  # 512>21 3x3 @14, 4.8e3: 1.68; the table has no other side


def _kn2row_pays(geometry: ConvGeometry, work: Work) -> bool:
    c_o, c_i, _, _ = geometry.weight_shape
    if not _is_plain(geometry) or c_i == 1 or kn2row.unsupported(geometry):
        return False
    if c_o % HALF_LANES == 0:
        return False  # 36>32 3x3 @56: 0.26; 'native' is fast for these
    k_h, k_w = geometry.dilated_kernel_size
    limit = MAX_TAPS_PER_INPUT if c_o < HALF_LANES else MAX_TAPS_PER_INPUT_ABOVE_HALF_LANES
    min_inputs = max(MIN_KN2ROW_INPUTS, MIN_KN2ROW_INPUTS_PER_OUTPUT * c_o)
    return c_o * k_h * k_w <= limit * c_i and work.pixels * c_i >= min_inputs


# depth_to_space: few outputs, and kernels so large that tiles share most of their window.

MIN_TILE_PIXELS = 1024  # per image, 32 x 32; 64>4 3x3 @16: 0.81; 64>4 3x3 @32: 1.33
# With one input channel: no more outputs than this, nor than the kernel's size minus 5. 'native' is
# fast beyond that.
MAX_FILTER_OUTPUTS = 6  # 1>6 11x11 @64: 24.98; 1>8 11x11 @64: 0.57
FILTER_KERNEL_EXCESS = 5  # 1>1 5x5 @64: 0.63; 1>2 7x7 @64: 10.03; 1>3 7x7 @64: 0.61
# With more input channels.
MAX_TILE_OUTPUTS = 4  # 4>4 7x7 @64: 1.73; 64>5 7x7 @64: 1.92, with padding 2.27
MIN_TILE_KERNEL = 5  # where tiles gain with 3x3, kn2row gains more: 64>4 3x3 @32: 1.33 and 2.41
MIN_TILE_MACS = 1.7e6  # 3>3 5x5 @64, 0.9e6: 0.91; 3>3 7x7 @64, 1.8e6: 1.36
MIN_TILE_MACS_ONE_OUTPUT = 3e5  # 3>1 5x5 @128, 1.2e6: 2.68, in docs/benchmarks.md; no other side


def _depth_to_space_pays(geometry: ConvGeometry, work: Work) -> bool:
    c_o, c_i, k_h, k_w = geometry.weight_shape
    kernel = min(k_h, k_w)
    if not _is_plain(geometry) or work.pixels_per_image < MIN_TILE_PIXELS:
        return False
    if c_i == 1:
        return c_o <= min(kernel - FILTER_KERNEL_EXCESS, MAX_FILTER_OUTPUTS)
    if c_o > MAX_TILE_OUTPUTS or geometry.dilated or kernel < MIN_TILE_KERNEL:
        return False
    return work.macs >= (MIN_TILE_MACS_ONE_OUTPUT if c_o == 1 else MIN_TILE_MACS)


# pad_channels: products with zeros, and copies, cost less than the slow kernel.

MIN_PADDING_MACS = 2e6  # 20>12 3x3 @28, 1.7e6: 0.90; 24>12 3x3 @28, 2.0e6: 1.20
MAX_PADDED_INPUTS = 1.25  # per input; 18>18 3x3 @56, 1.33: 0.89; 20>20 3x3 @56, 1.2: 1.01
# Outputs per input: the more there are, the more the slow kernel does with each copy of a window.
MAX_PADDING_EXPANSION = 1.5  # 8>12 3x3 @64, 1.5: 1.09; 8>20 3x3 @64, 2.5: 0.77
MIN_PADDING_PIXELS_PER_OUTPUT = 6  # 512>84 3x3 @14, 2.3: 0.90; 512>84 3x3 @28, 9.3: 1.07
# Pixels, times c_i^2 over the product of both padded numbers of channels, for the weight's copy:
# 100>100 3x3 @28, 725: 0.87; 36>12 3x3 @28, 1587: 1.10.
MIN_PADDING_PIXELS = 1024


def _pad_channels_pays(geometry: ConvGeometry, work: Work) -> bool:
    c_o, c_i, _, _ = geometry.weight_shape
    if not _is_plain(geometry) or c_i == 1 or pad_channels.unsupported(geometry):
        return False
    if c_o % HALF_LANES == 0 and c_i % HALF_LANES == 0:
        return False  # 512>40 3x3 @28: 0.97
    if c_o <= MAX_TILE_OUTPUTS and not geometry.dilated:
        return False  # kn2row or tiles gain more, 16>4 5x5 @64: 1.83, with tiles 2.55
    if geometry.dilated and (c_i % LANES or c_o > c_i):
        return False  # 36>12 3x3 @56 d2: 1.42, but 0.85 in training; 64>72 3x3 @64 d2: 0.98
    padded = pad_channels.inner(geometry)
    if padded.in_channels > MAX_PADDED_INPUTS * c_i or c_o > MAX_PADDING_EXPANSION * c_i:
        return False
    min_pixels = MIN_PADDING_PIXELS * padded.channels * padded.in_channels / c_i**2
    return (
        work.pixels >= max(MIN_PADDING_PIXELS_PER_OUTPUT * c_o, min_pixels)
        and work.macs >= MIN_PADDING_MACS
    )


# kn2row comes before the two algorithms that it usually beats where it pays.
QUESTIONS: Tuple[Tuple[str, Callable[[ConvGeometry, Work], bool]], ...] = (
    ("train_layout", _train_layout_pays),
    ("split_channels", _split_channels_pays),
    ("kn2row", _kn2row_pays),
    ("depth_to_space", _depth_to_space_pays),
    ("pad_channels", _pad_channels_pays),
)

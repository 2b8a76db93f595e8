"""The rule for CPUs with AVX-512: 'native', unless another algorithm was clearly faster.

It applies to float32, for which oneDNN's fast kernels compute 16 or 8 output channels side by side.
For most other numbers of channels MXNet falls back to slower kernels. Small convolutions stay with
'native', because a single operator costs the least to call.

`RULE` has one question per algorithm, and the first yes decides. What each limit is about is said
in `questions`. The evidence is benchmarks/rule.md, which `make rule` writes. It has convolutions on
both sides of most limits. Comments cite its rows: `64>4 3x3 @8: 0.81 / 0.98` is a convolution from
64 to 4 channels of an 8x8 input, and the algorithm's speed-up over 'native' is 0.81 in inference
and 0.98 in training, with one image unless a batch is named. A figure in between is the quantity
that the limit is about. s2, d2 and g15 are a stride, a dilation and groups. A figure behind "tiles"
or "padding" is that of `depth_to_space` or `pad_channels`, the alternatives. Limits without a
citation have no measurements on both sides. Everything was measured on one core of an AMD EPYC with
AVX-512.

To write the rule for another kind of CPU, run `make rule` there. Copy this module, move the limits
to where the new figures cross 1, and replace the citations. List its `RULE` in `rules/__init__.py`,
and add its choices to tests/test_rules.py.
"""

from ..._cpuinfo import has_avx512
from .questions import (
    PaddingLimits,
    Rule,
    depth_to_space,
    kn2row,
    pad_channels,
    split_channels,
    train_layout,
    winograd,
)

TRAIN_LAYOUT = train_layout(
    lanes=16,
    # 3>32 9x9 @56, 243: 1.01 / 1.07; 3>32 11x11 @56, 363: 1.02 / 0.96.
    max_macs=256,
    max_inputs=4,
    max_expansion=3,
    # Where the output is read next, it gains more; see docs/performance.md.
    # 64>64 1x1 @28: 0.93 / 0.96; 64>64 1x1 @56: 1.03 / 0.93.
    min_pixels=3136,
    # 24>112 1x1 @56, 4.7: 0.92 / 0.97; 24>144 1x1 @64, 6: 1.14 / 0.96. The table
    # has no larger ones; 16>96 1x1 @112 in benchmarks/results/avx512-one.md gains if it is read.
    min_pixels_expanding=12_544,
    min_pixels_per_mac=8,
)

SPLIT_CHANNELS = split_channels(
    # 15>15 3x3 @28 g15, 2.1: 0.86 / 0.74; 20>20 3x3 @28 g20, 5: 1.07 / 0.95.
    min_ratio=4,
    # 9>9 3x3 @28 g9, 0.7e4: 0.82 / 0.87; 58>58 3x3 @14 g58, 1.1e4: 0.93 / 1.17;
    # 100>100 3x3 @14 g100, 2.0e4: 1.58 / 1.24.
    min_outputs=2**14,
)

KN2ROW = kn2row(
    # 16>4 3x3 @32, 2.3: 0.98 / 1.01; 16>6 3x3 @32, 3.4: 0.88 / 0.87.
    max_taps_per_input=2.8,
    # 64>3 7x7 @64, 2.3: 3.51 / 4.79, tiles 64>3 7x7 @64: 2.47 / 3.81.
    max_taps_per_input_with_tiles=2.5,
    # 64>4 5x5 @64, 1.6: 2.84 / 3.33, tiles 64>4 5x5 @64: 2.83 / 3.96;
    # 32>4 5x5 @64, 3.1: 1.37 / 2.32, tiles 32>4 5x5 @64: 2.50 / 3.33.
    max_taps_per_input_with_tiles_of_four=1.5,
    # 64>9 3x3 @28, 1.3: 1.58 / 1.50, padding 64>9 3x3 @28: 1.29 / 1.46;
    # 64>12 3x3 @28, 1.7: 1.37 / 1.44, padding 64>12 3x3 @28: 1.33 / 1.46.
    max_taps_per_input_with_padding=1.5,
    # 64>4 3x3 @8, 0.4e4: 0.81 / 0.98; 64>4 3x3 @16, 1.6e4: 1.33 / 1.68.
    min_inputs=2**14,
    # 512>84 3x3 @14, 1.2e3: 0.94 / 1.25; 512>21 3x3 @14, 4.8e3: 1.53 / 2.56.
    min_inputs_per_output=2**11,
)

DEPTH_TO_SPACE = depth_to_space(
    # The smallest maps that were measured: 1>1 7x7 @32: 2.00 / 0.99.
    min_pixels=1024,
    # 3>3 7x7 @32, 1.5e5: 10.44 / 4.29, where MXNet falls back to loops;
    # 2>4 7x7 @64, 4.0e5: 1.58 / 1.63; 3>4 7x7 @64, 6.0e5: 1.75 / 1.37.
    min_macs=4e5,
    # 2>4 5x5 @64, 2.0e5: 1.09 / 1.19; 3>4 5x5 @64, 3.1e5: 1.36 / 1.30.
    min_macs_5x5=3e5,
    # 1>3 7x7 @64, 2.0e5: 0.79 / 0.79; 1>1 5x5 @128, 4.1e5: 0.92 / 1.07. In batches of 16:
    # 1>3 7x7 @64, 3.2e6: 1.46 / 1.95; 1>1 5x5 @64, 1.6e6: 1.47 / 2.04.
    min_macs_one_input=1.2e6,
    # 2>1 5x5 @32, 5.1e4: 3.40 / 1.91; 1>1 9x9 @32, 8.3e4: 1.83 / 1.26.
    min_macs_instead_of_loops=6e4,
)

PAD_CHANNELS = pad_channels(
    # 20>20 3x3 @56, 1.2: 0.90 / 1.16; 50>12 3x3 @28, 1.12: 1.00 / 1.01.
    max_padded_inputs=1.15,
    strided=False,  # 64>12 3x3 @64 s2: 0.85 / 1.39.
    inference=PaddingLimits(
        max_expansion=1.5,  # 8>12 3x3 @64, 1.5: 1.20 / 1.16; 8>20 3x3 @64, 2.5: 0.83 / 1.33.
        # 36>24 3x3 @56: 1.25 / 1.50; 36>36 3x3 @56: 0.87 / 1.18.
        max_outputs_with_inputs=32,
        # 20>12 3x3 @28, 1.7e6: 0.87 / 0.81; 24>12 3x3 @28, 2.0e6: 1.08 / 1.05.
        min_macs=2e6,
        # 100>100 3x3 @28, 725: 0.86 / 0.94; 36>12 3x3 @28, 1587: 1.03 / 0.93.
        min_pixels=1024,
        # 512>84 3x3 @14, 2.3: 0.79 / 1.24; 512>84 3x3 @28, 9.3: 1.03 / 1.38.
        min_pixels_per_output=6,
    ),
    training=PaddingLimits(
        max_expansion=1.5,
        max_outputs_with_inputs=128,  # 100>100 3x3 @56: 1.04 / 0.96.
        min_macs=5e5,  # 64>2 3x3 @64 s2, 1.2e6: 0.64 / 1.26.
        # 36>12 3x3 @28, 1587: 1.03 / 0.93; 36>36 3x3 @56, 2540: 0.87 / 1.18.
        min_pixels=2048,
        min_pixels_per_output=1.5,
    ),
    # With the weight's copy made once, smaller maps and more outputs gain; benchmarks/constant.md.
    constant=PaddingLimits(
        max_expansion=1.7,
        max_outputs_with_inputs=32,
        min_macs=1.2e6,
        min_pixels=640,
        min_pixels_per_output=0.75,
    ),
)

# With a constant weight only; benchmarks/constant.md.
WINOGRAD = winograd(min_channels=256, min_pixels=784, min_pixels_per_image=100)

# kn2row comes before the two algorithms that it usually beats where it pays.
RULE = Rule(
    "AVX-512",
    has_avx512,
    (TRAIN_LAYOUT, SPLIT_CHANNELS, KN2ROW, DEPTH_TO_SPACE, WINOGRAD, PAD_CHANNELS),
)

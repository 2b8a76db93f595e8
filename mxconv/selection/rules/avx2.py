"""The rule for CPUs with AVX2 and without AVX-512: 'native', unless another was clearly faster.

It is built like the rule for AVX-512, which explains the form of this module; what the limits are
about is said in `questions`. oneDNN's kernels compute 8 output channels side by side here, and no
more than that is padded. Layouts gain nothing: 64>64 1x1 @56: 0.95 / 0.97.

The evidence is benchmarks/rule-avx2.md, whose rows the comments cite. It was measured on one core
of an AMD EPYC with AVX-512, whose use DNNL_MAX_CPU_ISA=AVX2 turned off.
"""

from ..._cpuinfo import has_avx2
from .questions import (
    PaddingLimits,
    Rule,
    depth_to_space,
    kn2row,
    pad_channels,
    split_channels,
    winograd,
)

SPLIT_CHANNELS = split_channels(
    # 15>15 3x3 @28 g15, 2.1: 0.89 / 0.85; 20>20 3x3 @28 g20, 5: 1.10 / 1.01.
    min_ratio=4,
    # 9>9 3x3 @28 g9, 0.7e4: 0.90 / 0.88; 58>58 3x3 @14 g58, 1.1e4: 1.17 / 1.20.
    min_outputs=11_000,
)

KN2ROW = kn2row(
    # 36>9 3x3 @56, 2.25: 1.30 / 1.49; 16>5 3x3 @32, 2.8: 0.97 / 0.99.
    max_taps_per_input=2.3,
    # 64>3 7x7 @64, 2.3: 2.56 / 4.04, tiles 64>3 7x7 @64: 2.35 / 3.12.
    max_taps_per_input_with_tiles=2.5,
    # 64>4 5x5 @64, 1.6: 2.45 / 3.25, tiles 64>4 5x5 @64: 3.17 / 4.02.
    max_taps_per_input_with_tiles_of_four=1.5,
    # 64>9 3x3 @28, 1.27: 1.72 / 1.71, padding 64>9 3x3 @28: 1.34 / 1.55;
    # 512>84 3x3 @28, 1.5: 1.15 / 1.30, padding 512>84 3x3 @28: 1.13 / 1.29.
    max_taps_per_input_with_padding=1.3,
    # 64>4 3x3 @8, 0.4e4: 0.82 / 0.98; 64>4 3x3 @16, 1.6e4: 1.37 / 1.64.
    min_inputs=2**14,
    # 512>84 3x3 @14, 1.2e3: 1.03 / 1.16; 512>21 3x3 @14, 4.8e3: 1.76 / 2.08.
    min_inputs_per_output=2**11,
)

DEPTH_TO_SPACE = depth_to_space(
    # The smallest maps that were measured: 1>1 7x7 @32: 2.06 / 1.09.
    min_pixels=1024,
    # 3>3 7x7 @32, 1.5e5: 6.11 / 3.40, where MXNet falls back to loops;
    # 2>4 7x7 @64, 4.0e5: 1.23 / 1.28; 3>4 7x7 @64, 6.0e5: 1.39 / 1.55.
    min_macs=4e5,
    # 2>4 5x5 @64, 2.0e5: 0.91 / 1.06; 3>4 5x5 @64, 3.1e5: 1.07 / 1.25.
    min_macs_5x5=3e5,
    # 1>3 7x7 @64, 2.0e5: 0.97 / 0.90; 1>1 5x5 @128, 4.1e5: 1.23 / 1.28. In batches of 16:
    # 1>3 7x7 @64, 3.2e6: 1.41 / 2.06; 1>1 5x5 @64, 1.6e6: 1.47 / 2.04.
    min_macs_one_input=1.2e6,
    # 2>1 5x5 @32, 5.1e4: 3.60 / 1.90; 1>1 9x9 @32, 8.3e4: 2.38 / 1.33.
    min_macs_instead_of_loops=6e4,
)

PAD_CHANNELS = pad_channels(
    # 18>18 3x3 @56, 1.33: 0.97 / 0.97; 20>20 3x3 @56, 1.2: 1.16 / 1.42.
    max_padded_inputs=1.25,
    strided=True,  # 64>12 3x3 @64 s2: 1.16 / 1.39.
    inference=PaddingLimits(
        # 64>9 3x3 @28, 0.14: 1.34 / 1.55; 64>36 3x3 @28, 0.56: 1.00 / 1.21.
        max_expansion=0.5,
        # 20>20 3x3 @56: 1.16 / 1.42; 36>36 3x3 @56: 0.94 / 1.09.
        max_outputs_with_inputs=32,
        # 24>12 3x3 @28, 2.0e6: 1.02 / 1.12; 32>12 3x3 @28, 2.7e6: 1.10 / 1.33.
        min_macs=2.5e6,
        # 36>12 3x3 @28, 1587: 0.96 / 1.11; 20>20 3x3 @56, 2178: 1.16 / 1.42.
        min_pixels=1700,
        # 512>84 3x3 @14, 2.3: 0.93 / 1.23; 512>84 3x3 @28, 9.3: 1.13 / 1.29.
        min_pixels_per_output=6,
    ),
    training=PaddingLimits(
        # 64>84 3x3 @28, 1.3: 1.02 / 1.02; 8>12 3x3 @64, 1.5: 1.13 / 1.11.
        max_expansion=1.4,
        max_outputs_with_inputs=128,  # 100>100 3x3 @56: 1.01 / 1.05.
        min_macs=5e5,  # 64>1 3x3 @64 s2, 0.6e6: 0.82 / 1.45.
        min_pixels=1700,
        min_pixels_per_output=1.5,
    ),
    # With the weight's copy made once, smaller maps and more outputs gain; benchmarks/constant.md.
    constant=PaddingLimits(
        max_expansion=0.5,
        max_outputs_with_inputs=32,
        min_macs=1.2e6,
        min_pixels=1300,
        min_pixels_per_output=1.5,
    ),
)

# With a constant weight only; benchmarks/constant.md.
WINOGRAD = winograd(min_channels=256, min_pixels=784, min_pixels_per_image=100)

RULE = Rule("AVX2", has_avx2, (SPLIT_CHANNELS, KN2ROW, DEPTH_TO_SPACE, WINOGRAD, PAD_CHANNELS))

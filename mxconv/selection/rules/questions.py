"""The questions that every rule asks, one per algorithm. Their limits are each rule's own.

A rule is a list of questions in order of priority; the first that is answered with yes decides. A
question is made from limits, which the rule's module gives with the measurements behind them.

Each algorithm does more steps than 'native', and each step has a price of its own, whatever the
size of its arrays. So every algorithm needs a certain amount of work to pay. With several threads,
that price is higher, since each step starts and joins all of them; see `Work.of`.
"""

from typing import Callable, NamedTuple, Tuple

from ... import _cpuinfo
from ...algorithms import kn2row as _kn2row
from ...algorithms import pad_channels as _pad_channels
from ...algorithms import split_channels as _split_channels
from ...algorithms import winograd as _winograd
from ...algorithms.pad_channels import HALF_LANES
from ...geometry import ConvGeometry

MIN_KERNEL = 3  # rows and columns; smaller kernels do too little with each element moved

# How many times the work must be larger, for each of several threads. If they take all cores, they
# compete with Python's and MXNet's own: two threads on two cores need up to 18 times the work that
# one needs, in benchmarks/rule-all.md and rule-avx2-all.md. With cores left, as by default, the
# price must be lower; there it is a guess, because no machine with more cores was there to measure.
PRICE_PER_THREAD, PRICE_PER_THREAD_ON_ALL_CORES = 3, 9


class Work(NamedTuple):
    """How much there is to compute.

    A MAC is a multiplication and its addition. A pixel of the output has c_o outputs.

    Attributes
    ----------
    pixels, pixels_per_image : int
        Of all images in the batch, and of one.
    macs_per_output, macs : int
    training : bool
        Whether gradients are computed as well.
    constant : bool
        Whether the weight is constant, so that it is rearranged only once.
    threads : int
        The number of threads that MXNet computes an operator with.
    price : int
        How many times more work it takes for an additional step to pay.
    """

    pixels: int
    pixels_per_image: int
    macs_per_output: int
    macs: int
    training: bool
    constant: bool
    threads: int
    price: int

    @classmethod
    def of(
        cls,
        geometry: ConvGeometry,
        input_shape: Tuple[int, ...],
        training: bool,
        constant: bool = False,
    ) -> "Work":
        """Return the work of a normalized geometry and an input of shape (n, c_i, h, w)."""
        n, _, o_h, o_w = geometry.output_shape(input_shape)
        c_o, c_i, k_h, k_w = geometry.weight_shape
        pixels, macs_per_output = n * o_h * o_w, c_i * k_h * k_w
        macs, threads = pixels * macs_per_output * c_o, _cpuinfo.threads()
        on_all_cores = 2 * threads > _cpuinfo.cores()
        each = PRICE_PER_THREAD_ON_ALL_CORES if on_all_cores else PRICE_PER_THREAD
        price = each * threads if threads > 1 else 1
        per_image, how = o_h * o_w, (training, constant, threads, price)
        return cls(pixels, per_image, macs_per_output, macs, *how)


class Question(NamedTuple):
    """When an algorithm is faster than 'native'.

    Attributes
    ----------
    algorithm : str
        The algorithm's name.
    suits : callable
        `suits(geometry)` returns whether the algorithm is faster for an input of some size.
    pays : callable
        `pays(geometry, work)` returns whether it is for this work, if the geometry suits it.
    """

    algorithm: str
    suits: Callable[[ConvGeometry], bool]
    pays: Callable[[ConvGeometry, Work], bool]


class Rule(NamedTuple):
    """What 'auto' chooses on one kind of CPU.

    Attributes
    ----------
    cpu : str
        The kind of CPU, as people call it.
    is_here : callable
        `is_here()` returns whether this machine has such a CPU.
    questions : tuple of Question
        In order of priority.
    """

    cpu: str
    is_here: Callable[[], bool]
    questions: Tuple[Question, ...]


def train_layout(
    lanes: int,
    max_macs: int,
    max_inputs: int,
    max_expansion: float,
    min_pixels: int,
    min_pixels_expanding: int,
    min_pixels_per_mac: float,
) -> Question:
    """Outputs so cheap to compute that their memory layout matters.

    Parameters
    ----------
    lanes : int
        The output channels are a multiple of it.
    max_macs : int
        Per output.
    max_inputs : int
        Input channels of a kernel larger than 1x1.
    max_expansion : float
        Outputs per input of a 1x1 kernel; above it, `min_pixels_expanding` applies.
    min_pixels, min_pixels_expanding : int
        For each thread, among which the conversion of a layout is divided, too.
    min_pixels_per_mac : float
        Pixels per MAC of an output: each call converts the layout of the weight.
    """

    def suits(geometry: ConvGeometry) -> bool:
        c_o, c_i, k_h, k_w = geometry.weight_shape
        if c_o % lanes or c_i * k_h * k_w > max_macs or geometry.dilated:
            return False
        one_group = geometry.groups == 1 and (geometry.pointwise or c_i <= max_inputs)
        return geometry.depthwise or one_group

    def pays(geometry: ConvGeometry, work: Work) -> bool:
        c_o, c_i, _, _ = geometry.weight_shape
        expanding = geometry.pointwise and c_o > max_expansion * c_i
        least = work.threads * (min_pixels_expanding if expanding else min_pixels)
        return work.pixels >= max(least, min_pixels_per_mac * work.macs_per_output)

    return Question("train_layout", suits, pays)


def split_channels(min_ratio: float, min_outputs: int) -> Question:
    """Depthwise convolutions, most of whose channels the fast kernel can take.

    Parameters
    ----------
    min_ratio : float
        All channels over those that are left over.
    min_outputs : int
        Elements of the output.
    """

    def suits(geometry: ConvGeometry) -> bool:
        c_o, _, k_h, k_w = geometry.weight_shape
        if _split_channels.unsupported(geometry) or min(k_h, k_w) < MIN_KERNEL:
            return False
        return c_o >= min_ratio * (c_o % _split_channels.LANES)

    def pays(geometry: ConvGeometry, work: Work) -> bool:
        if geometry.dilated and work.training:
            return False  # the fast kernel has no dilated gradients
        return work.pixels * geometry.channels >= min_outputs * work.price

    return Question("split_channels", suits, pays)


def kn2row(
    max_taps_per_input: float,
    max_taps_per_input_with_tiles: float,
    max_taps_per_input_with_tiles_of_four: float,
    max_taps_per_input_with_padding: float,
    min_inputs: int,
    min_inputs_per_output: int,
) -> Question:
    """Few taps, of all outputs together, compared with the input channels: heads.

    Each product of a tap and a pixel is moved separately.

    Parameters
    ----------
    max_taps_per_input : float
        Taps per input channel.
    max_taps_per_input_with_tiles, max_taps_per_input_with_tiles_of_four : float
        The same where `depth_to_space` is an alternative, and where it has four outputs, of which
        the smallest tiles make 16 channels.
    max_taps_per_input_with_padding : float
        The same where padding the outputs is an alternative.
    min_inputs, min_inputs_per_output : int
        Elements of the input, in all and per output channel: for a small input, rearranging the
        weight takes longer than the sums. The first is multiplied by the taps per input channel if
        these are more than one.
    """

    def suits(geometry: ConvGeometry) -> bool:
        _, c_i, k_h, k_w = geometry.weight_shape
        c_o = geometry.channels // geometry.groups
        plain = min(k_h, k_w) >= MIN_KERNEL and geometry.strides == (1, 1)
        if not plain or c_i == 1 or _kn2row.unsupported(geometry):
            return False
        if geometry.channels % HALF_LANES == 0:
            return False  # 'native' is fast
        limit = max_taps_per_input
        if c_o > HALF_LANES and c_i % HALF_LANES == 0:
            limit = max_taps_per_input_with_padding
        elif tiles_suit(geometry):
            limit = max_taps_per_input_with_tiles
            if c_o == MAX_TILE_OUTPUTS:
                limit = max_taps_per_input_with_tiles_of_four
        return c_o * k_h * k_w <= limit * c_i

    def pays(geometry: ConvGeometry, work: Work) -> bool:
        c_o, c_i, k_h, k_w = geometry.weight_shape
        taps_per_input = c_o * k_h * k_w / (c_i * geometry.groups)
        least = max(min_inputs * max(1, taps_per_input), min_inputs_per_output * c_o)
        return work.pixels * geometry.in_channels >= least * work.price

    return Question("kn2row", suits, pays)


SHARE_IF_CONSTANT = 0.5  # of the work instead of loops: of a constant weight, tiles are made once
MAX_TILE_OUTPUTS = 4  # with several input channels
# With one, no more outputs than this, nor than the kernel's size minus 4; 1>4 5x5 @64 loses.
MAX_FILTER_OUTPUTS, FILTER_KERNEL_EXCESS = 6, 4
MIN_TILE_KERNEL = 5  # where tiles gain with 3x3, kn2row gains more


def tiles_suit(geometry: ConvGeometry) -> bool:
    """Return whether neighboring outputs share most of their window."""
    c_o, c_i, k_h, k_w = geometry.weight_shape
    if geometry.groups != 1 or geometry.strides != (1, 1) or min(k_h, k_w) < MIN_TILE_KERNEL:
        return False
    if c_i == 1:
        return c_o <= min(MAX_FILTER_OUTPUTS, min(k_h, k_w) - FILTER_KERNEL_EXCESS)
    return c_o <= MAX_TILE_OUTPUTS and not geometry.dilated


def depth_to_space(
    min_pixels: int,
    min_macs: float,
    min_macs_5x5: float,
    min_macs_one_input: float,
    min_macs_instead_of_loops: float,
) -> Question:
    """Few channels, and kernels so large that neighboring outputs share most of their window.

    Parameters
    ----------
    min_pixels : int
        Per image.
    min_macs, min_macs_5x5, min_macs_one_input : float
        Per output channel: for kernels of 7x7 and more, for smaller ones, and with a single input
        channel.
    min_macs_instead_of_loops : float
        Where MXNet falls back to plain loops; see `falls_back`.
    """

    def pays(geometry: ConvGeometry, work: Work) -> bool:
        _, c_i, k_h, k_w = geometry.weight_shape
        if work.pixels_per_image < min_pixels:
            return False
        if falls_back(geometry, work):
            share = SHARE_IF_CONSTANT if work.constant else 1
            return work.macs >= min_macs_instead_of_loops * work.price * share
        least = min_macs if min(k_h, k_w) > MIN_TILE_KERNEL else min_macs_5x5
        least = min_macs_one_input if c_i == 1 else least
        return work.pixels * work.macs_per_output >= least * work.price

    return Question("depth_to_space", tiles_suit, pays)


# oneDNN's im2col refuses to use more memory than this many times that of the arrays, for each
# thread. MXNet then computes the convolution by plain loops, ten to a hundred times slower. It was
# measured for one image, whose columns are kept as a whole if there is one input channel, or if
# they are few. It didn't happen with two images and more, and hardly where the threads can divide
# the outputs among them.
MAX_COLUMNS_PER_ELEMENT = 15
MAX_WHOLE_COLUMNS = 2**17  # elements, half a megabyte


def falls_back(geometry: ConvGeometry, work: Work) -> bool:
    """Return whether oneDNN refuses a convolution without padding to many channels."""
    c_o, c_i, _, _ = geometry.weight_shape
    columns = work.pixels_per_image * work.macs_per_output
    elements = work.pixels_per_image * (c_i + c_o) + c_o * work.macs_per_output
    if work.pixels != work.pixels_per_image or (work.threads > 1 and c_o % work.threads == 0):
        return False
    whole = c_i == 1 or columns <= MAX_WHOLE_COLUMNS
    return whole and columns > MAX_COLUMNS_PER_ELEMENT * work.threads * elements


def winograd(min_channels: int, min_pixels: int, min_pixels_per_image: int) -> Question:
    """Fewer products, for large 3x3 convolutions whose weight is constant.

    Parameters
    ----------
    min_channels : int
        Of the input and of the output.
    min_pixels, min_pixels_per_image : int
    """

    def suits(geometry: ConvGeometry) -> bool:
        least = min(geometry.channels, geometry.in_channels)
        return least >= min_channels and not _winograd.unsupported(geometry)

    def pays(geometry: ConvGeometry, work: Work) -> bool:
        if not work.constant or work.training or work.pixels_per_image < min_pixels_per_image:
            return False
        return work.pixels >= min_pixels * work.price

    return Question("winograd", suits, pays)


MIN_PADDED_INPUTS = 16  # 7>7 and 9>9 3x3 lose on every CPU


class PaddingLimits(NamedTuple):
    """Limits of `pad_channels` in one mode.

    Attributes
    ----------
    max_expansion : float
        Outputs per input channel, where only outputs are padded.
    max_outputs_with_inputs : int
        Output channels where inputs are padded as well. The more outputs there are, the more the
        slow kernel does with each copy of a window.
    min_macs : float
    min_pixels : float
        Times the padded weight's elements over c_i^2, for the copy of the weight.
    min_pixels_per_output : float
        Pixels per output channel.
    """

    max_expansion: float
    max_outputs_with_inputs: int
    min_macs: float
    min_pixels: float
    min_pixels_per_output: float


def pad_channels(
    max_padded_inputs: float,
    strided: bool,
    inference: PaddingLimits,
    training: PaddingLimits,
    constant: PaddingLimits,
) -> Question:
    """Products with zeros, and copies, that cost less than the slow kernel for odd channels.

    Parameters
    ----------
    max_padded_inputs : float
        Input channels after padding, per input channel.
    strided : bool
        Whether it also pays with strides in inference; in training it does.
    inference, training, constant : PaddingLimits
        The last in inference with a constant weight.
    """

    def limits_for(work: Work) -> PaddingLimits:
        if work.training:
            return training
        return constant if work.constant else inference

    def suits(geometry: ConvGeometry) -> bool:
        c_o, c_i, k_h, k_w = geometry.weight_shape
        if min(k_h, k_w) < MIN_KERNEL or c_i == 1 or _pad_channels.unsupported(geometry):
            return False
        if c_o % HALF_LANES == 0 and c_i % HALF_LANES == 0:
            return False  # the fast kernel takes these, though not at its best
        if c_o <= MAX_TILE_OUTPUTS and geometry.strides == (1, 1) and not geometry.dilated:
            return False  # kn2row or tiles gain more
        inputs = _pad_channels.inner(geometry).in_channels
        return inputs == c_i or (c_i >= MIN_PADDED_INPUTS and inputs <= max_padded_inputs * c_i)

    def pays(geometry: ConvGeometry, work: Work) -> bool:
        c_o, c_i, _, _ = geometry.weight_shape
        padded, limits = _pad_channels.inner(geometry), limits_for(work)
        pads_inputs = padded.in_channels > c_i
        if geometry.strides != (1, 1) and not (strided or work.training):
            return False
        if geometry.dilated and (pads_inputs if work.training else c_o > c_i):
            return False  # AVX-512: 36>12 3x3 @56 d2 loses in training, 64>84 3x3 @64 d2 without
        most = limits.max_outputs_with_inputs if pads_inputs else limits.max_expansion * c_i
        min_pixels = limits.min_pixels * padded.channels * padded.in_channels / c_i**2
        return (
            c_o <= most
            and work.pixels >= work.price * max(limits.min_pixels_per_output * c_o, min_pixels)
            and work.macs >= work.price * limits.min_macs
        )

    return Question("pad_channels", suits, pays)

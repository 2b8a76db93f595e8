"""The chapter, sentence by sentence: each claim that can be checked is one test, in its order."""

from functools import partial

import helpers
import oracle
from helpers import K3, K, X
from mxconv import (
    MultiChannelConv2D,
    corr2d,
    corr2d_loops,
    corr2d_multi_in,
    corr2d_multi_in_out,
    corr2d_multi_in_out_1x1,
)

import numpy as np
import pytest
from mxnet import nd
from mxnet.gluon import nn

integers = partial(helpers.integers, most=9)

pytestmark = pytest.mark.kernels


def equal(a, b):
    return a.shape == b.shape and (a == b).min().asscalar() == 1


@pytest.fixture(scope="module")
def photograph():
    """A real color image, (h, w, channels)."""
    datasets = pytest.importorskip(
        "sklearn.datasets", reason="the photograph comes with scikit-learn, of the extra `test`"
    )
    return datasets.load_sample_image("china.jpg")


# Introduction


def test_a_color_image_has_three_channels_in_addition_to_height_and_width(photograph):
    assert photograph.ndim == 3
    assert photograph.shape[2] == 3
    red, green, blue = np.moveaxis(photograph.astype(int), 2, 0)
    sky = np.s_[:100, 400:]  # the upper right of the photograph, pale blue
    assert blue[sky].mean() > red[sky].mean()


def test_a_color_image_can_be_represented_as_an_array_of_3_by_h_by_w(photograph):
    h, w, _ = photograph.shape
    image = nd.array(photograph.transpose(2, 0, 1))
    assert image.shape == (3, h, w)
    assert np.array_equal(image.asnumpy().transpose(1, 2, 0), photograph)


# Multiple input channels


def test_the_kernel_needs_the_same_number_of_input_channels_as_the_data():
    assert corr2d_multi_in(integers((4, 3, 3)), integers((4, 2, 2))).shape == (2, 2)
    for c_i in (1, 3, 5):
        with pytest.raises(ValueError, match=f"X has 4 channels and K has {c_i}"):
            corr2d_multi_in(integers((4, 3, 3)), integers((c_i, 2, 2)))


def test_for_one_input_channel_the_kernel_is_just_a_two_dimensional_array():
    x, k = integers((5, 4)), integers((2, 3))
    assert equal(corr2d_multi_in(nd.stack(x), nd.stack(k)), corr2d(x, k))


def test_concatenating_a_kernel_array_per_input_channel_gives_c_i_by_k_h_by_k_w():
    arrays = [integers((2, 3)) for _ in range(4)]
    assert nd.stack(*arrays).shape == (4, 2, 3)


def test_channels_are_cross_correlated_apart_and_their_outputs_added():
    x, k = integers((3, 5, 4)), integers((3, 2, 2))
    apart = corr2d(x[0], k[0]) + corr2d(x[1], k[1]) + corr2d(x[2], k[2])
    assert equal(corr2d_multi_in(x, k), apart)


def test_the_output_is_a_two_dimensional_array():
    assert corr2d_multi_in(X, K).ndim == 2


def test_the_first_output_of_the_figure_is_56():
    first = (1 * 1 + 2 * 2 + 4 * 3 + 5 * 4) + (0 * 0 + 1 * 1 + 3 * 2 + 4 * 3)
    assert first == 56
    assert corr2d_multi_in(X, K)[0, 0].asscalar() == first


def test_its_brackets_are_the_two_channels_of_the_input_and_the_kernel():
    shaded = [(X[c, :2, :2] * K[c]).reshape(-1).asnumpy().tolist() for c in (1, 0)]
    assert shaded == [[1 * 1, 2 * 2, 4 * 3, 5 * 4], [0 * 0, 1 * 1, 3 * 2, 4 * 3]]


def test_cell_1_does_what_the_books_code_does():
    """The book's `corr2d` assigns each element, and its `add_n` sums the channels.

    test_book.py compares the code itself, and test_reference.py `corr2d_loops` with NumPy.
    """
    x, k = integers((3, 5, 4)), integers((3, 2, 3))
    assert equal(corr2d_multi_in(x, k), nd.add_n(*[corr2d_loops(x, k) for x, k in zip(x, k)]))


def test_cell_2_prints_the_output_of_the_figure():
    assert str(corr2d_multi_in(X, K)) == "\n[[ 56.  72.]\n [104. 120.]]\n<NDArray 2x2 @cpu(0)>"


# Multiple output channels


@pytest.mark.parametrize("c_i", [1, 2, 7])
def test_so_far_there_is_one_output_channel_whatever_the_input_channels(c_i):
    assert corr2d_multi_in(integers((c_i, 4, 4)), integers((c_i, 2, 2))).shape == (3, 3)


def test_several_output_channels_detect_edges_in_different_directions():
    upright = nd.array([[[0, 0, 0, 9, 9, 9]] * 6])
    kernel = nd.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    both = nd.stack(nd.stack(kernel), nd.stack(kernel.T))
    found = corr2d_multi_in_out(upright, both).abs()
    assert found[0].max().asscalar() == 36 and found[1].max().asscalar() == 0
    found = corr2d_multi_in_out(upright.transpose((0, 2, 1)), both).abs()
    assert found[0].max().asscalar() == 0 and found[1].max().asscalar() == 36


def test_a_kernel_per_output_channel_makes_c_o_by_c_i_by_k_h_by_k_w():
    assert nd.stack(*[integers((2, 3, 4)) for _ in range(5)]).shape == (5, 2, 3, 4)
    layer = MultiChannelConv2D(5, (3, 4), in_channels=2)
    assert layer.weight.shape == (5, 2, 3, 4)


def test_each_output_channel_comes_from_its_own_kernel_array():
    changed = K3.copy()
    changed[1] += 1
    before, after = corr2d_multi_in_out(X, K3), corr2d_multi_in_out(X, changed)
    assert equal(before[0], after[0]) and equal(before[2], after[2])
    assert not equal(before[1], after[1])


def test_and_from_the_entire_input_array():
    """Every element of the input takes part in every output channel."""
    before = corr2d_multi_in_out(X, K3 + 1)
    for c in range(2):
        for i in range(3):
            for j in range(3):
                changed = X.copy()
                changed[c, i, j] += 1
                after = corr2d_multi_in_out(changed, K3 + 1)
                assert all(not equal(b, a) for b, a in zip(before, after))


def test_cell_4_makes_a_kernel_of_three_output_channels():
    assert str(K3.shape) == "(3, 2, 2, 2)"


def test_cell_5_has_three_output_channels():
    Y = corr2d_multi_in_out(X, K3)
    assert Y.shape[0] == 3
    assert np.array_equal(Y.asnumpy(), oracle.convolve(X.asnumpy()[None], K3.asnumpy())[0])


def test_the_first_is_the_output_of_the_single_channel_kernel():
    assert equal(corr2d_multi_in_out(X, K3)[0], corr2d_multi_in(X, K))


# The 1x1 convolutional layer


def test_a_convolution_correlates_adjacent_pixels_and_a_1x1_does_not():
    impulse = nd.zeros((1, 5, 5))
    impulse[0, 2, 2] = 1
    touched = [
        int((corr2d_multi_in_out(impulse, nd.ones((1, 1, k, k))) != 0).sum().asscalar())
        for k in (1, 2, 3)
    ]
    assert touched == [1, 4, 9]


def test_a_1x1_cannot_recognize_patterns_of_adjacent_elements():
    """Shuffled pixels give shuffled outputs: where a pixel stands makes no difference to it."""
    x, order = integers((3, 4, 4)), nd.array(np.random.permutation(16))

    def shuffle(a):
        return nd.take(a.reshape((0, -1)), order, axis=1)

    for size, blind in ((1, True), (2, False)):
        k = integers((2, 3, size, size))
        shuffled = corr2d_multi_in_out(shuffle(x).reshape(x.shape), k)
        y = corr2d_multi_in_out(x, k)
        if blind:
            assert equal(shuffled.reshape((0, -1)), shuffle(y))
        else:
            assert sorted(shuffled.reshape(-1).asnumpy()) != sorted(y.reshape(-1).asnumpy())


def test_the_main_computation_of_a_1x1_is_on_the_channel_dimension():
    """All products of an output are over channels, none over height and width."""
    layer = MultiChannelConv2D(2, 1, in_channels=3)
    assert np.prod(layer.geometry.weight_shape[1:]) == 3


def test_inputs_and_outputs_have_the_same_height_and_width():
    assert corr2d_multi_in_out_1x1(integers((3, 5, 7)), integers((2, 3, 1, 1))).shape == (2, 5, 7)


def test_each_output_is_a_linear_combination_of_the_channels_at_its_place():
    x, k = integers((3, 4, 5)), integers((2, 3, 1, 1))
    y = corr2d_multi_in_out_1x1(x, k)
    for i in range(4):
        for j in range(5):
            assert equal(y[:, i, j], nd.dot(k[:, :, 0, 0], x[:, i, j]))


def test_a_1x1_layer_is_a_fully_connected_layer_on_pixels():
    layer = MultiChannelConv2D(2, 1, in_channels=3)
    dense = nn.Dense(2, in_units=3)
    for block in (layer, dense):
        block.initialize()
    layer.weight.set_data(integers((2, 3, 1, 1)))
    layer.bias.set_data(integers(2))
    dense.weight.set_data(layer.weight.data().reshape((2, 3)))
    dense.bias.set_data(layer.bias.data())
    x = integers((1, 3, 4, 5))
    pixels = x.transpose((0, 2, 3, 1)).reshape((-1, 3))
    assert equal(dense(pixels).reshape((1, 4, 5, 2)).transpose((0, 3, 1, 2)), layer(x))


def test_the_1x1_function_equals_the_one_before():
    x, k = integers((3, 3, 3)), integers((2, 3, 1, 1))
    assert equal(corr2d_multi_in_out_1x1(x, k), corr2d_multi_in_out(x, k))


def test_cell_7_holds_for_its_random_data():
    for _ in range(100):
        x, k = nd.random.uniform(shape=(3, 3, 3)), nd.random.uniform(shape=(2, 3, 1, 1))
        Y1, Y2 = corr2d_multi_in_out_1x1(x, k), corr2d_multi_in_out(x, k)
        assert (Y1 - Y2).norm().asscalar() < 1e-6


# Summary


def test_multiple_channels_extend_the_model_parameters():
    def parameters(c_i, c_o):
        layer = MultiChannelConv2D(c_o, (2, 3), in_channels=c_i)
        return sum(np.prod(p.shape) for p in layer.collect_params().values())

    assert parameters(1, 1) == 2 * 3 + 1
    assert parameters(4, 5) == 5 * 4 * 2 * 3 + 5


def test_a_1x1_adjusts_the_number_of_channels():
    x = integers((2, 8, 5, 6))
    for c_o in (1, 3, 16):
        layer = MultiChannelConv2D(c_o, 1, in_channels=8)
        layer.initialize()
        assert layer(x).shape == (2, c_o, 5, 6)


def test_a_1x1_controls_model_complexity():
    """Down to a quarter of the channels, 3x3 there, and up again: far fewer parameters."""

    def parameters(*layers):
        return sum(np.prod(p.shape) for layer in layers for p in layer.collect_params().values())

    plain = MultiChannelConv2D(64, 3, padding=1, in_channels=64)
    bottleneck = (
        MultiChannelConv2D(16, 1, in_channels=64),
        MultiChannelConv2D(16, 3, padding=1, in_channels=16),
        MultiChannelConv2D(64, 1, in_channels=16),
    )
    assert parameters(plain) == 36928
    assert parameters(*bottleneck) == 4448

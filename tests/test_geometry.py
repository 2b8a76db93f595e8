import re
from dataclasses import FrozenInstanceError

from mxconv import ConvGeometry
from mxconv.algorithms.ops import pad
from mxconv.geometry import PADDING_MODES

import numpy as np
import pytest
from mxnet import nd, sym


def test_ints_become_pairs():
    geometry = ConvGeometry(4, 3, strides=[2, 1], padding=np.int64(1), in_channels=2)
    assert geometry.kernel_size == (3, 3)
    assert geometry.strides == (2, 1)
    assert geometry.padding == (1, 1)
    assert geometry == ConvGeometry(4, (3, 3), (2, 1), (1, 1), (1, 1), 1, 2)
    assert hash(geometry) == hash(ConvGeometry(4, (3, 3), (2, 1), (1, 1), in_channels=2))


def test_a_geometry_is_frozen():
    with pytest.raises(FrozenInstanceError):
        ConvGeometry(4, 3).channels = 5


def test_weight_shape_divides_input_channels_among_groups():
    assert ConvGeometry(6, (3, 2), groups=2, in_channels=4).weight_shape == (6, 2, 3, 2)
    assert ConvGeometry(6, 1).weight_shape == (6, 0, 1, 1)
    assert ConvGeometry(6, 1).with_in_channels(5).weight_shape == (6, 5, 1, 1)


def test_padding_is_even_or_a_pair_of_margins():
    for given, kept in (
        (2, (2, 2)),
        ([1, 2], (1, 2)),
        (((1, 1), [2, 2]), (1, 2)),
        ((1, (0, 2)), ((1, 1), (0, 2))),
        (((0, 1), (2, 3)), ((0, 1), (2, 3))),
        ("valid", (0, 0)),
    ):
        assert ConvGeometry(4, 3, padding=given).padding == kept
    assert ConvGeometry(4, 3, padding=(1, 2)).pads == ((1, 1), (2, 2))


@pytest.mark.parametrize("kernel", [1, 2, 3, (4, 5)])
@pytest.mark.parametrize("dilation", [1, 2, (3, 1)])
def test_same_keeps_height_and_width_with_the_odd_one_behind(kernel, dilation):
    geometry = ConvGeometry(4, kernel, padding="same", dilation=dilation)
    assert geometry.output_shape((1, 2, 5, 7)) == (1, 4, 5, 7)
    assert all(after - before in (0, 1) for before, after in geometry.pads)


def test_an_algorithm_gets_nchw_and_even_zeros():
    assert ConvGeometry(4, 3, padding=1).normalized == ConvGeometry(4, 3, padding=1)
    assert not ConvGeometry(4, 3, padding_mode="reflect").needs_explicit_padding
    for apart in (
        ConvGeometry(4, 3, padding=((0, 1), (1, 1)), layout="NHWC", groups=2, in_channels=2),
        ConvGeometry(4, 3, padding=1, padding_mode="replicate", groups=2, in_channels=2),
    ):
        assert apart.needs_explicit_padding
        assert apart.normalized == ConvGeometry(4, 3, groups=2, in_channels=2)


def test_nhwc_has_channels_last_in_input_weight_and_output():
    geometry = ConvGeometry(6, (3, 2), groups=2, in_channels=4, layout="NHWC")
    assert geometry.weight_shape == (6, 3, 2, 2)
    assert geometry.output_shape((1, 5, 7, 4)) == (1, 3, 6, 6)
    with pytest.raises(ValueError, match=r"batch, height, width, in_channels"):
        geometry.output_shape((5, 7, 4))
    with pytest.raises(ValueError, match=r"channels on axis 3.*\(1, 4, 5, 7\)"):
        geometry.output_shape((1, 4, 5, 7))


@pytest.mark.parametrize(
    "mode, padding, smallest", [("reflect", 3, 4), ("circular", 3, 3), ("edge", 3, 1)]
)
def test_padding_made_of_the_input_needs_enough_of_it(mode, padding, smallest):
    geometry = ConvGeometry(1, 1, padding=padding, padding_mode=mode)
    assert geometry.output_shape((1, 1, smallest, smallest))[2] == smallest + 2 * padding
    if smallest > 1:
        least = rf"padding_mode='{mode}' .*at least \({smallest}, {smallest}\), received"
        with pytest.raises(ValueError, match=least) as caught:
            geometry.output_shape((1, 1, smallest, smallest - 1))
        assert f"{(1, 1, smallest, smallest - 1)}" in str(caught.value)


def test_the_docstrings_rows_are_what_each_padding_mode_gives():
    """A row 1234 with a padding of 2, such as 32|1234|32."""
    rows = dict(re.findall(r"- '(\w+)': ``([\d|]+)``", ConvGeometry.__doc__))
    assert tuple(rows) == PADDING_MODES
    for mode, row in rows.items():
        geometry = ConvGeometry(1, 1, padding=(0, 2), padding_mode=mode)
        x = nd.array([1, 2, 3, 4]).reshape((1, 1, 1, 4))
        padded = pad(nd, x, geometry.pads, mode).asnumpy()[0, 0, 0]
        assert padded.tolist() == [int(digit) for digit in row.replace("|", "")]


@pytest.mark.parametrize("kernel", [1, 2, (3, 1), (2, 5)])
@pytest.mark.parametrize("strides", [1, 2, (1, 3)])
@pytest.mark.parametrize("padding", [0, (2, 1)])
@pytest.mark.parametrize("dilation", [1, (1, 2)])
def test_output_shape_is_mxnets(kernel, strides, padding, dilation):
    """MXNet's own shape inference is the judge."""
    geometry = ConvGeometry(6, kernel, strides, padding, dilation, groups=2, in_channels=4)
    operator = sym.Convolution(
        sym.var("x"),
        kernel=geometry.kernel_size,
        stride=geometry.strides,
        pad=geometry.padding,
        dilate=geometry.dilation,
        num_filter=6,
        num_group=2,
        name="conv",
    )
    for size in ((9, 9), (9, 12), (14, 10)):
        arguments, outputs, _ = operator.infer_shape(x=(3, 4) + size)
        assert geometry.output_shape((3, 4) + size) == outputs[0]
        assert geometry.weight_shape == arguments[1]


BAD_ARGUMENTS = [  # argument, value, error
    ("channels", 0, ValueError),
    ("channels", -1, ValueError),
    ("channels", 4.0, TypeError),
    ("channels", "4", TypeError),
    ("channels", None, TypeError),
    ("channels", True, TypeError),
    ("channels", (4, 4), TypeError),
    ("kernel_size", 0, ValueError),
    ("kernel_size", (3, -3), ValueError),
    ("kernel_size", (3,), ValueError),
    ("kernel_size", (3, 3, 3), ValueError),
    ("kernel_size", (3, 3.0), TypeError),
    ("kernel_size", "33", TypeError),
    ("strides", 0, ValueError),
    ("strides", (1, 0), ValueError),
    ("strides", 1.5, TypeError),
    ("padding", -1, ValueError),
    ("padding", (0, -2), ValueError),
    ("padding", (1, 1, 1), ValueError),
    ("padding", 1.5, TypeError),
    ("padding", ((0, 1), (2, -1)), ValueError),
    ("padding", "full", ValueError),
    ("padding_mode", "wrap", ValueError),
    ("dilation", 0, ValueError),
    ("dilation", None, TypeError),
    ("groups", 0, ValueError),
    ("groups", -2, ValueError),
    ("groups", 1.0, TypeError),
    ("in_channels", -1, ValueError),
    ("in_channels", 3.0, TypeError),
    ("layout", "NHCW", ValueError),
    ("layout", 4, ValueError),
    ("channels", 2**31, ValueError),
    ("strides", 2**63, ValueError),
    ("padding", ((0, 0), (0, 2**31)), ValueError),
    ("padding_mode", None, ValueError),
]


@pytest.mark.parametrize("name, value, error", BAD_ARGUMENTS)
def test_bad_arguments_are_named_with_their_value(name, value, error):
    arguments = {"channels": 4, "kernel_size": 3, name: value}
    with pytest.raises(error, match=name) as caught:
        ConvGeometry(**arguments)
    item = value
    while isinstance(item, tuple) and len(item) == 2 and name != "channels":
        item = item[-1]  # the wrong one is the last
    assert f"{name}={item!r}" in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize(
    "counts", [dict(channels=4, in_channels=6), dict(channels=6, in_channels=4)]
)
def test_groups_divide_both_channel_counts(counts):
    with pytest.raises(ValueError, match="divisible by groups.*=4, groups=3"):
        ConvGeometry(kernel_size=3, groups=3, **counts)


@pytest.mark.parametrize("name", ["channels", "strides", "padding", "layout", "padding_mode"])
@pytest.mark.parametrize("array", [np.ones((2, 3)), nd.ones((2, 3))], ids=["NumPy", "MXNet"])
def test_an_array_is_named_by_its_type_and_shape(name, array):
    with pytest.raises((TypeError, ValueError), match=f"{name}=<.*[aA]rray of shape .2, 3.>$"):
        ConvGeometry(**{"channels": 4, "kernel_size": 3, name: array})


def test_a_weight_that_mxnet_cannot_index():
    most = ConvGeometry(2**16, 1, groups=2, in_channels=2**16 - 2)  # one array of 2^31 - 2^16
    assert most.weight_shape == (2**16, 2**15 - 1, 1, 1)
    with pytest.raises(ValueError, match=r"weight \(65536, 32768, 1, 1\).*in_channels=65536"):
        ConvGeometry(2**16, 1, groups=2, in_channels=2**16)
    deferred = ConvGeometry(2**16, 1, groups=2)
    with pytest.raises(ValueError, match=r"weight .*MXNet indexes at most.*\(1, 65536, 1, 1\)"):
        deferred.output_shape((1, 2**16, 1, 1))
    with pytest.raises(ValueError, match=r"weight \(4, 1, 65536, 65536\).*in_channels=0"):
        ConvGeometry(4, 2**16)


@pytest.mark.parametrize("value, wrong", [("NHCW", "unknown"), (4, "invalid"), (None, "invalid")])
def test_a_string_is_unknown_and_anything_else_is_invalid(value, wrong):
    with pytest.raises(ValueError, match=f"layout is {wrong}: expected one of 'NCHW', 'NHWC', "):
        ConvGeometry(4, 3, layout=value)


@pytest.mark.parametrize("shape", [None, 4, "nchw", (1, 2, 8.0, 8), (1, 2, None, 8), (True,) * 4])
def test_a_shape_that_is_none(shape):
    with pytest.raises(TypeError, match="tuple of integers, .batch, in_channels") as caught:
        ConvGeometry(4, 3).output_shape(shape)
    assert f"input_shape={shape!r}" in str(caught.value)


def test_a_shape_is_a_list_or_of_numpys_integers_too():
    for shape in ([1, 2, 8, 8], tuple(np.array([1, 2, 8, 8]))):
        assert ConvGeometry(4, 3).output_shape(shape) == (1, 4, 6, 6)


@pytest.mark.parametrize(
    "shape, says",
    [
        ((2, 8, 8), "batch, in_channels, height, width"),
        ((1, 1, 2, 8, 8), "batch, in_channels, height, width"),
        ((0, 2, 8, 8), "non-empty"),
        ((1, 2, 8, 0), "non-empty"),
        ((1, 3, 8, 8), "expected in_channels=2 channels"),
        ((1, 2, 1, 8), "larger than its padded input"),
        ((1, 2, 8, 1), "larger than its padded input"),
        ((150000, 2, 64, 64), "the output .*MXNet indexes at most"),
        ((2**20, 2, 2**6, 2**6), "the input .*MXNet indexes at most"),
        ((1, 2, 2**63, 8), "the input .*MXNet indexes at most"),
    ],
)
def test_bad_inputs_are_shown(shape, says):
    geometry = ConvGeometry(4, 5, padding=1, in_channels=2)
    with pytest.raises(ValueError, match=says) as caught:
        geometry.output_shape(shape)
    assert str(shape) in str(caught.value)


def test_a_padded_input_that_mxnet_cannot_index():
    geometry = ConvGeometry(1, 1, strides=2**20, padding=((0, 2**20), (0, 2**20)))
    with pytest.raises(ValueError, match=r"padded input .*MXNet .*\(1, 1, 2, 2\), padding=\(\(0"):
        geometry.output_shape((1, 1, 2, 2))


def test_an_input_whose_channels_the_groups_do_not_divide():
    with pytest.raises(ValueError, match=r"axis 1 .*divisible by groups=2, .*\(1, 3, 8, 8\)"):
        ConvGeometry(4, 3, groups=2).output_shape((1, 3, 8, 8))

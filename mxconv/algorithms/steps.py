"""The steps around the sum that algorithms share; each works on arrays and on symbols alike."""

from ..reference import Split


def pad(F, x, margins, mode="zeros"):
    """x (n, c, h, w) with ((top, bottom), (left, right)) rows and columns around it."""
    if margins == ((0, 0), (0, 0)):
        return x
    if mode == "circular":
        for axis, (before, after) in zip((2, 3), margins):
            x = _wrap(F, x, axis, before, after)
        return x
    (top, bottom), (left, right) = margins
    width = (0, 0, 0, 0, top, bottom, left, right)
    return F.pad(x, mode="constant" if mode == "zeros" else mode, constant_value=0, pad_width=width)


def _wrap(F, x, axis, before, after):
    """x with its last `before` slices in front of it, and its first `after` ones behind it."""
    parts = [x.slice_axis(axis=axis, begin=-before, end=None)] if before else []
    parts += [x]
    parts += [x.slice_axis(axis=axis, begin=0, end=after)] if after else []
    return F.concat(*parts, dim=axis)


def dilate(F, kernel, dilation):
    """A kernel (c_o, c_i, k_h, k_w) with `dilation - 1` zeros between neighbouring taps."""
    for axis, d, merged in ((2, dilation[0], (0, 0, -3, 0)), (3, dilation[1], (0, 0, 0, -3))):
        if d > 1:
            zeros = [F.zeros_like(kernel)] * (d - 1)
            kernel = F.stack(kernel, *zeros, axis=axis + 1).reshape(merged)
            kernel = kernel.slice_axis(axis=axis, begin=0, end=1 - d)
    return kernel


def every(F, x, strides, begin=(0, 0), end=(None, None)):
    """Every s-th row and column of x, from `begin` to `end`."""
    return F.slice(
        x,
        begin=(None, None) + tuple(begin),
        end=(None, None) + tuple(end),
        step=(None, None) + tuple(strides),
    )


def first_met(F, x, geometry):
    """What the kernel's first tap meets in channel 0: an array of the output's height and width.

    It only lends its shape. The gradient is blocked before the padding, because in MXNet 1.9.1 a
    `BlockGrad` behind other operators can crash the eager backward pass.
    """
    plane = pad(F, F.BlockGrad(x).slice_axis(axis=1, begin=0, end=1), geometry.margins)
    return every(F, plane, geometry.strides, end=[1 - w or None for w in geometry.window])


def split(F, x, parts, axis=0, squeeze=True):
    """x cut into `parts` along an axis, which goes if `squeeze`, as a list of that length."""
    pieces = F.split(x, num_outputs=parts, axis=axis, squeeze_axis=squeeze)
    return Split(pieces if parts > 1 else [pieces])


def join(F, arrays, axis):
    """Arrays one after another along an axis.

    With an axis in front it isn't oneDNN's concatenation, which can fail on channels.
    """
    return F.concat(*(array.expand_dims(0) for array in arrays), dim=axis + 1).reshape((-3, -2))


def one_hot(F, like, size):
    """h w kernels (h w, 1, h, w), each with a 1 at its own place among zeros, for a `size` (h, w).

    They have the dtype and the device of `like`, and no gradient.
    """
    h, w = size
    one = F.ones_like(F.BlockGrad(like).reshape((-1,)).slice_axis(axis=0, begin=0, end=1))
    return F.diag(F.broadcast_axis(one, axis=0, size=h * w)).reshape((-1, 1, h, w))


def add_bias(F, y, bias):
    """y (n, c_o, o_h, o_w) plus one bias per output channel, where there is one."""
    return y if bias is None else F.broadcast_add(y, bias.reshape((1, -1, 1, 1)))

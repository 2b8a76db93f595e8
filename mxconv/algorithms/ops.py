"""Steps around the sum that algorithms share. Each works on arrays and on symbols.

F is `mx.nd` or `mx.sym` throughout. A Symbol has no shape, so sizes come from reshape codes or from
another Symbol.
"""

from math import prod
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from mxnet import nd

from ..geometry import ConvGeometry

Pads = Sequence[Tuple[int, int]]  # ((top, bottom), (left, right))


def pad(F: Any, x: Any, pads: Pads, mode: str = "zeros") -> Any:
    """Pad x (n, c, h, w) with ((top, bottom), (left, right)) rows and columns."""
    (top, bottom), (left, right) = pads
    if top == bottom == left == right == 0:
        return x
    if mode == "circular":
        x = _pad_circular(F, x, 2, top, bottom)
        return _pad_circular(F, x, 3, left, right)
    width = (0, 0, 0, 0, top, bottom, left, right)
    return F.pad(x, mode="constant" if mode == "zeros" else mode, constant_value=0, pad_width=width)


def _pad_circular(F: Any, x: Any, axis: int, before: int, after: int) -> Any:
    """Put the last `before` slices of x in front of it, and its first `after` slices behind it."""
    parts = [x.slice_axis(axis=axis, begin=-before, end=None)] if before else []
    parts += [x]
    parts += [x.slice_axis(axis=axis, begin=0, end=after)] if after else []
    return F.concat(*parts, dim=axis)


def dilate(F: Any, kernel: Any, dilation: Sequence[int]) -> Any:
    """Put `dilation - 1` zeros between neighboring taps of a kernel (c_o, c_i, k_h, k_w)."""
    for axis, d, merged in ((2, dilation[0], (0, 0, -3, 0)), (3, dilation[1], (0, 0, 0, -3))):
        if d > 1:
            # Stacked behind every tap, the zeros also follow the last one, where they are cut off.
            zeros = [F.zeros_like(kernel)] * (d - 1)
            kernel = F.stack(kernel, *zeros, axis=axis + 1).reshape(merged)
            kernel = kernel.slice_axis(axis=axis, begin=0, end=1 - d)
    return kernel


def strided_slice(
    F: Any,
    x: Any,
    strides: Sequence[int],
    begin: Sequence[int] = (0, 0),
    end: Sequence[Optional[int]] = (None, None),
) -> Any:
    """Take every s-th row and column of x (n, c, h, w), from `begin` to `end`."""
    return F.slice(
        x,
        begin=(None, None, *begin),
        end=(None, None, *end),
        step=(None, None, *strides),
    )


def output_like(F: Any, x: Any, geometry: ConvGeometry) -> Any:
    """Return an array (n, ..., o_h, o_w) that lends its shape to operators such as `slice_like`.

    It is x if the output is as large. Otherwise it holds the elements of channel 0 under the
    kernel's first tap. Its gradient is blocked before the padding: in MXNet 1.9.1 a `BlockGrad`
    behind other operators can crash the eager backward pass.
    """
    x, window = F.BlockGrad(x), geometry.dilated_kernel_size
    if geometry.strides == (1, 1) and all(sum(p) == w - 1 for p, w in zip(geometry.pads, window)):
        return x
    plane = pad(F, x.slice_axis(axis=1, begin=0, end=1), geometry.pads)
    return strided_slice(F, plane, geometry.strides, end=[1 - w or None for w in window])


def unstack(F: Any, x: Any, parts: int, axis: int = 0, squeeze: bool = True) -> List[Any]:
    """Split x into a list of `parts` along an axis; `squeeze` removes that axis."""
    pieces = F.split(x, num_outputs=parts, axis=axis, squeeze_axis=squeeze)
    return list(pieces) if parts > 1 else [pieces]


def concat(F: Any, arrays: Sequence[Any], axis: int) -> Any:
    """Concatenate arrays along an axis.

    A new leading axis keeps this off oneDNN's concatenation, which can fail on the channel axis.
    """
    return F.concat(*(array.expand_dims(0) for array in arrays), dim=axis + 1).reshape((-3, -2))


def one_hot_kernels(F: Any, like: Any, shape: Sequence[int]) -> Any:
    """Return all kernels of a shape (c, h, w) with a single 1 each, in row-major order.

    Their shape is (c h w, c, h, w). They have no gradient, and the dtype and the device of `like`,
    a kernel. A graph takes the dtype from it, operator by operator, so that it may be cast: MXNet
    can't infer the dtype of a constant from its reader in loops, nor when AMP converts the graph.
    """
    count = prod(shape)
    if F is nd:
        matrix = nd.eye(count, ctx=like.context).astype(like.dtype, copy=False)
    else:
        matrix = F.diag(F.broadcast_axis(_one(F, like), axis=0, size=count))
    return matrix.reshape((-1, *shape))


def constant(F: Any, values: np.ndarray, like: Any) -> Any:
    """Return an array of these values, with the dtype and the device of `like`, a kernel.

    In a graph, where no operator has an array for an attribute, each value is a step of its own.
    """
    if F is nd:
        return nd.array(values, ctx=like.context, dtype=like.dtype)
    one, flat = _one(F, like), values.ravel().tolist()
    steps = {value: one * value for value in dict.fromkeys(flat)}
    return F.concat(*(steps[value] for value in flat), dim=0).reshape(values.shape)


def _one(F: Any, like: Any) -> Any:
    """Return the Symbol of a single 1, which takes its dtype from `like`, a kernel."""
    return F.ones_like(F.slice(like, begin=(0, 0, 0, 0), end=(1, 1, 1, 1))).reshape((-1,))


def add_bias(F: Any, y: Any, bias: Any) -> Any:
    """Add one bias per output channel to y (n, c_o, o_h, o_w), unless bias is None."""
    return y if bias is None else F.broadcast_add(y, bias.reshape((1, -1, 1, 1)))

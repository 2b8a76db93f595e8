"""An independent convolution: float64 NumPy, windows by `stride_tricks`, sums by `einsum`."""

import numpy as np
from numpy.lib.stride_tricks import as_strided


def windows(x, kernel, strides=(1, 1), padding=(0, 0), dilation=(1, 1)):
    """What each output sees: (n, c, o_h, o_w, k_h, k_w), a view of the padded x (n, c, h, w)."""
    x = np.pad(x, [(0, 0), (0, 0)] + [(p, p) for p in padding])
    sizes = [
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(x.shape[2:], kernel, strides, dilation)
    ]
    n, c, h, w = x.strides
    return as_strided(
        x,
        x.shape[:2] + tuple(sizes) + tuple(kernel),
        (n, c, h * strides[0], w * strides[1], h * dilation[0], w * dilation[1]),
        writeable=False,
    )


def convolve(x, weight, bias=None, strides=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """The output (n, c_o, o_h, o_w) in float64."""
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    seen = windows(x, weight.shape[2:], strides, padding, dilation)
    y = [
        np.einsum("ncijab,ocab->noij", s, w)
        for s, w in zip(np.split(seen, groups, axis=1), np.split(weight, groups, axis=0))
    ]
    y = np.concatenate(y, axis=1)
    return y if bias is None else y + np.asarray(bias, np.float64)[:, None, None]


def gradients(x, weight, dy, strides=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """The gradients (dx, dweight, dbias) of sum(dy * y) in float64."""
    x, weight, dy = (np.asarray(a, np.float64) for a in (x, weight, dy))
    kernel, (o_h, o_w) = weight.shape[2:], dy.shape[2:]
    seen = windows(x, kernel, strides, padding, dilation)
    dpadded = np.zeros((x.shape[0], x.shape[1]) + tuple(np.add(x.shape[2:], 2 * np.array(padding))))
    dweight = []
    parts = [
        np.split(a, groups, axis) for a, axis in ((seen, 1), (weight, 0), (dy, 1), (dpadded, 1))
    ]
    for s, w, g, dp in zip(*parts):
        dweight.append(np.einsum("ncijab,noij->ocab", s, g))
        for a in range(kernel[0]):
            for b in range(kernel[1]):
                rows = slice(
                    a * dilation[0], a * dilation[0] + (o_h - 1) * strides[0] + 1, strides[0]
                )
                cols = slice(
                    b * dilation[1], b * dilation[1] + (o_w - 1) * strides[1] + 1, strides[1]
                )
                dp[:, :, rows, cols] += np.einsum("noij,oc->ncij", g, w[:, :, a, b])
    p_h, p_w = padding
    dx = dpadded[:, :, p_h : p_h + x.shape[2], p_w : p_w + x.shape[3]]
    return dx, np.concatenate(dweight), dy.sum(axis=(0, 2, 3))


def gathered(dpadded, shape, around, mode):
    """The gradient to an array of a shape, from that to its `np.pad`: the sum over all copies."""
    numbered = np.arange(np.prod(shape)).reshape(shape) + 1  # 0 is no copy
    sources = np.pad(numbered, around, mode=mode)
    sums = np.bincount(sources.ravel(), dpadded.ravel(), minlength=numbered.size + 1)
    return sums[1:].reshape(shape)


def assert_within(actual, expected, magnitude, dtype=np.float32, terms=1000):
    """|actual - expected| <= terms * u * magnitude, magnitude being the sum of absolute products.

    The bound of any order of summation of so many terms, u being the rounding unit of the dtype.
    """
    actual = actual.asnumpy() if hasattr(actual, "asnumpy") else actual
    assert actual.shape == expected.shape
    unit = np.finfo(dtype).eps / 2
    excess = np.abs(actual - expected) - terms * unit * (magnitude + np.finfo(dtype).tiny)
    assert excess.max() <= 0, f"off by {np.abs(actual - expected).max()}"

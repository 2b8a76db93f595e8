"""The arrays in a file of MXNet's, read so that whatever isn't as it should be is an error."""

import struct
from collections import namedtuple
from math import prod

import numpy as np

from . import dtypes

LIST = 0x112  # what a list of arrays begins with
FIRST, PLAIN, NUMPY = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # and an array in it, the last by `mx.np`
DENSE, ROW_SPARSE, CSR = range(3)
MOST_AXES = 32  # of an array of NumPy's
NAMES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")
DTYPES = {**dict(enumerate(map(np.dtype, NAMES))), 12: dtypes.BFLOAT16}
INT64 = NAMES.index("int64")

Saved = namedtuple("Saved", "shape dtype values")  # values() makes the array: a sparse one is large


def read(data):
    """The arrays in a file's bytes, as `Saved`, by name: of any storage, from all of MXNet's past.

    Raises
    ------
    ValueError, struct.error
        Bytes of something else, or damaged ones. Nothing is allocated for a size that they give.
    """
    reader = _Reader(data)
    if reader.take("QQ")[0] != LIST:
        raise ValueError("it doesn't begin as one")
    arrays = [_array(reader) for _ in range(*reader.take("Q"))]
    names = [reader.take(f"{reader.take('Q')[0]}s")[0].decode() for _ in range(*reader.take("Q"))]
    if len(set(names)) != len(arrays) or len(names) != len(arrays) or reader.at != len(data):
        raise ValueError(f"expected {len(arrays)} names and no more, up to byte {len(data)}")
    return dict(zip(names, arrays))


class _Reader:
    """A place in some bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        """The next values, of a format of `struct`'s."""
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def shape(self, form="q", least=1, rank=None):
        """The next sizes, behind their number unless it is given."""
        rank = self.take("i")[0] if rank is None else rank
        if not 0 <= rank <= MOST_AXES or (rank == 0 and least):  # MXNet's no array has no axes
            raise ValueError(f"there is no shape at byte {self.at}")
        sizes = self.take(f"{rank}{form}")
        if min(sizes, default=least) < least:
            raise ValueError(f"there is no shape at byte {self.at}")
        return sizes

    def numbers(self, dtype, *shape):
        """The next array of numbers, which stay where they are."""
        begin, size = self.at, prod(shape)
        self.take(f"{size * dtype.itemsize}x")
        return np.frombuffer(self.data, dtype, size, begin).reshape(shape)


def _array(reader):
    """The next array. Before version 2 there was but one kind, and at first no version."""
    (version,) = reader.take("I")
    if version not in (PLAIN, NUMPY):
        shape = reader.shape() if version == FIRST else reader.shape("I", rank=version)
        return _dense(reader, shape, _dtype(reader))
    least = 0 if version == NUMPY else 1
    (storage,) = reader.take("i")
    if storage == DENSE:
        shape = reader.shape(least=least)
        return _dense(reader, shape, _dtype(reader))
    if storage not in (ROW_SPARSE, CSR):
        raise ValueError(f"there is no kind of array at byte {reader.at}")
    reader.shape(least=0)  # of what is stored: MXNet may write it before it has reckoned it
    shape, dtype = reader.shape(), _dtype(reader)
    lengths = [_length(reader) for _ in range(storage)]  # row_sparse has one array of indices
    values = reader.numbers(dtype, lengths[-1], *(shape[1:] if storage == ROW_SPARSE else ()))
    indices = [reader.numbers(DTYPES[INT64], length) for length in lengths]
    places = (_rows if storage == ROW_SPARSE else _places)(shape, *indices)
    if places is None:
        raise ValueError(f"there are indices of no array of shape {shape} up to byte {reader.at}")

    def fill():
        array = np.zeros(shape, dtype)
        array[places] = values
        return array

    return Saved(shape, dtype, fill)


def _dtype(reader):
    number = reader.take("3i")[2]  # behind the kind and the number of its device
    if number not in DTYPES:
        raise ValueError(f"there is no dtype at byte {reader.at}")
    return DTYPES[number]


def _dense(reader, shape, dtype):
    array = reader.numbers(dtype, *shape)
    return Saved(shape, dtype, lambda: array)


def _length(reader):
    """The length of the next array of indices."""
    kind, rank, length = reader.take("2iq")
    if (kind, rank) != (INT64, 1) or length < 0:
        raise ValueError(f"there are no indices at byte {reader.at}")
    return length


def _rows(shape, rows):
    """Where the rows that are stored belong, or None where that can't be."""
    return (rows,) if _between(rows, shape[0]) and (np.diff(rows) > 0).all() else None


def _places(shape, ends, columns):
    """Where the elements that are stored belong, row by row, or None where that can't be."""
    if len(shape) != 2 or len(ends) != shape[0] + 1 or (ends[0], ends[-1]) != (0, len(columns)):
        return None
    counts = np.diff(ends)
    if counts.min() < 0 or not _between(columns, shape[1]):
        return None
    return np.repeat(np.arange(shape[0]), counts), columns


def _between(numbers, end):
    """Whether all numbers are from 0 to below an end."""
    return ((numbers >= 0) & (numbers < end)).all()

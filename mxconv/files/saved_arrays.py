"""Reads the arrays in one of MXNet's files, and rejects anything that isn't as it should be."""

import struct
from math import prod
from typing import Any, Callable, Dict, NamedTuple, NoReturn, Optional, Tuple

import numpy as np

from .. import dtypes

# Magic numbers: of a file, and of an array in it, as versions 1, 2 and (from `mx.np`) 3 write them.
LIST_MAGIC = 0x112
V1_MAGIC, V2_MAGIC, V3_MAGIC = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE, ROW_SPARSE, CSR = range(3)
MAX_AXES = 32  # of a NumPy array
DTYPE_NAMES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")
DTYPES = {**dict(enumerate(map(np.dtype, DTYPE_NAMES))), 12: dtypes.BFLOAT16}
INT64 = DTYPE_NAMES.index("int64")

Shape = Tuple[int, ...]


class SavedArray(NamedTuple):
    """An array in a file. `values()` makes it, which for a sparse one may take much memory."""

    shape: Shape
    dtype: np.dtype
    values: Callable[[], np.ndarray]


def read(data: bytes) -> Dict[str, SavedArray]:
    """Read the arrays in a file's bytes, by name: any storage type, any version of MXNet.

    Raises
    ------
    ValueError, struct.error
        If the bytes are damaged or something else. Sizes in the file are checked before anything is
        allocated for them.
    """
    reader = _Reader(data)
    magic, _ = reader.unpack("QQ")
    if magic != LIST_MAGIC:
        reader.reject(f"the number {LIST_MAGIC:#x}, which begins a file", f"{magic:#x}")
    arrays = [_array(reader) for _ in range(*reader.unpack("Q"))]
    names = [reader.string() for _ in range(*reader.unpack("Q"))]
    if len(names) != len(arrays) or len(set(names)) != len(arrays):
        reader.reject(f"{len(arrays)} different names", f"{len(names)} names")
    if reader.position != len(data):
        reader.reject("the end of the file", f"{len(data) - reader.position} bytes more")
    return dict(zip(names, arrays))


class _Reader:
    """Reads values one after the other from a file's bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def reject(self, expected: str, received: Any) -> NoReturn:
        """Raise the error for what was read last."""
        raise ValueError(f"expected {expected}, received {received}, before byte {self.position}")

    def unpack(self, fmt: str) -> Tuple[Any, ...]:
        """The next values; `fmt` is a format string of the module struct."""
        values = struct.unpack_from("<" + fmt, self.data, self.position)
        self.position += struct.calcsize("<" + fmt)
        return values

    def string(self) -> str:
        """The next string, which follows its length."""
        (length,) = self.unpack("Q")
        return self.unpack(f"{length}s")[0].decode()

    def shape(self, fmt: str = "q", minimum: int = 1, rank: Optional[int] = None) -> Shape:
        """The next shape: sizes of at least `minimum`, which follow their number unless given."""
        rank = self.unpack("i")[0] if rank is None else rank
        if not 0 <= rank <= MAX_AXES or (rank == 0 and minimum):  # MXNet's "no array" has no axes
            self.reject(f"a shape of at most {MAX_AXES} axes", f"{rank} axes")
        sizes = self.unpack(f"{rank}{fmt}")
        if min(sizes, default=minimum) < minimum:
            self.reject(f"sizes >= {minimum} in a shape", sizes)
        return sizes

    def dtype(self) -> np.dtype:
        """The next dtype, which follows the type and the number of a device."""
        number = self.unpack("3i")[2]
        if number not in DTYPES:
            self.reject(f"a dtype, one of {sorted(DTYPES)}", number)
        return DTYPES[number]

    def indices_length(self) -> int:
        """The length of the next array of indices, which follows its dtype and rank."""
        dtype, rank, length = self.unpack("2iq")
        if (dtype, rank) != (INT64, 1) or length < 0:
            self.reject(
                f"indices: dtype {INT64}, 1 axis, length >= 0",
                f"dtype {dtype}, {rank} axes, length {length}",
            )
        return length

    def numbers(self, dtype: np.dtype, *shape: int) -> np.ndarray:
        """The next array, as a view of the bytes."""
        begin, size = self.position, prod(shape)
        self.unpack(f"{size * dtype.itemsize}x")
        return np.frombuffer(self.data, dtype, size, begin).reshape(shape)


def _array(reader: _Reader) -> SavedArray:
    """The next array. Version 1 has only dense ones; before it, there was no magic number."""
    (version,) = reader.unpack("I")
    if version not in (V2_MAGIC, V3_MAGIC):
        shape = reader.shape() if version == V1_MAGIC else reader.shape("I", rank=version)
        return _dense(reader, shape)
    (storage,) = reader.unpack("i")
    if storage == DENSE:
        return _dense(reader, reader.shape(minimum=0 if version == V3_MAGIC else 1))
    if storage == ROW_SPARSE:
        return _row_sparse(reader)
    if storage == CSR:
        return _csr(reader)
    reader.reject(f"a storage type, one of {DENSE}, {ROW_SPARSE} and {CSR}", storage)


def _dense(reader: _Reader, shape: Shape) -> SavedArray:
    dtype = reader.dtype()
    array = reader.numbers(dtype, *shape)
    return SavedArray(shape, dtype, lambda: array)


def _row_sparse(reader: _Reader) -> SavedArray:
    """The next array, of which some rows are stored."""
    shape, dtype = _sparse_header(reader)
    stored = reader.indices_length()
    values = reader.numbers(dtype, stored, *shape[1:])
    rows = reader.numbers(DTYPES[INT64], stored)
    if not (_in_range(rows, shape[0]) and (np.diff(rows) > 0).all()):
        reader.reject(f"increasing numbers of rows in an array of shape {shape}", "others")
    return _filled(shape, dtype, (rows,), values)


def _csr(reader: _Reader) -> SavedArray:
    """The next matrix, of which some elements are stored, row by row."""
    shape, dtype = _sparse_header(reader)
    n_ends, stored = reader.indices_length(), reader.indices_length()
    values = reader.numbers(dtype, stored)
    ends = reader.numbers(DTYPES[INT64], n_ends)  # of the rows, among the stored elements
    columns = reader.numbers(DTYPES[INT64], stored)
    counts = np.diff(ends)
    valid = (
        len(shape) == 2
        and n_ends == shape[0] + 1
        and (ends[0], ends[-1]) == (0, stored)
        and counts.min() >= 0
        and _in_range(columns, shape[1])
    )
    if not valid:
        reader.reject(f"indices into a matrix of shape {shape}", "others")
    return _filled(shape, dtype, (np.repeat(np.arange(shape[0]), counts), columns), values)


def _sparse_header(reader: _Reader) -> Tuple[Shape, np.dtype]:
    """The shape and the dtype of the next array, which is sparse."""
    reader.shape(minimum=0)  # of the stored values; MXNet may write it before it has computed it
    return reader.shape(), reader.dtype()


def _filled(shape: Shape, dtype: np.dtype, index: Tuple, values: np.ndarray) -> SavedArray:
    def fill() -> np.ndarray:
        array = np.zeros(shape, dtype)
        array[index] = values
        return array

    return SavedArray(shape, dtype, fill)


def _in_range(numbers: np.ndarray, end: int) -> bool:
    """Whether all numbers are at least 0 and below `end`."""
    return bool(((numbers >= 0) & (numbers < end)).all())

"""Parameters in files, kept from accidents: a file is written whole, and judged before it is used.

The files are Gluon's own, byte for byte those of `Block.save_parameters`; its `load_parameters`
reads them, and `load_parameters` here reads its.
"""

import struct
from math import prod

import numpy as np
from mxnet import Context, nd
from mxnet.util import is_np_array

from . import dtypes
from ._files import as_path, writable, write
from .network import blocks

# What MXNet begins a list of arrays with, and an array in it, the second one in NumPy mode.
LIST, DENSE = 0x112, (0xF993FAC9, 0xF993FACA)
NAMES = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool")
DTYPES = {**dict(enumerate(map(np.dtype, NAMES))), 12: dtypes.BFLOAT16}


def save_parameters(net, path):
    """Save the parameters of a network; a file that was there stays until the new one is whole.

    `net.save_parameters(path)` empties the file first, so that a process that ends meanwhile loses
    both, and says nothing of a disk that is full when the network is small. Here, a full disk is an
    `OSError` and the old file stays. A process that is killed may leave a hidden file beside it.

    Parameters
    ----------
    net : gluon.Block
        A network or a lone layer, whose parameters have values.
    path : str or Path
        The file, ending in '.params'.

    Raises
    ------
    TypeError, ValueError
        A net that isn't a Block, parameters without values or in sparse storage, or a path that
        can't be written.

    Examples
    --------
    >>> net, twin = nn.Dense(2, in_units=3), nn.Dense(2, in_units=3)
    >>> net.initialize()
    >>> save_parameters(net, "net.params")
    >>> load_parameters(twin, "net.params")
    Dense(3 -> 2, linear)
    """
    blocks(net)
    path = writable(path, (".params",))
    arrays = {}
    for name, parameter in net._collect_params_with_prefix().items():
        try:
            arrays[name] = parameter._reduce()  # of all contexts, on the CPU
        except RuntimeError as error:
            raise ValueError(f"expected parameters that have values, {name!r} has none") from error
    names = [name.encode() for name in arrays]
    parts = [struct.pack("<3Q", LIST, 0, len(arrays))]
    parts += [array.__getstate__()["handle"] for array in arrays.values()]
    parts += [struct.pack("<Q", len(names))]
    parts += [struct.pack("<Q", len(name)) + name for name in names]
    write(path, b"".join(parts))


def load_parameters(net, path, ctx=None, allow_missing=False, ignore_extra=False):
    """Load parameters that `save_parameters`, the one here or Gluon's, has saved: all, or none.

    `net.load_parameters(path)` allocates what a damaged file asks for, and has changed some of the
    parameters when it meets one that doesn't fit. Here nothing is allocated or changed before
    everything fits. Numbers that are damaged can't be told from others: the files have no checksum.

    Parameters
    ----------
    net : gluon.Block
        A network or a lone layer, initialized or not.
    path : str or Path
        The file.
    ctx : None, Context or list of Context
        Where the parameters of a network that isn't initialized go; None is the CPU.
    allow_missing, ignore_extra : bool
        Leave parameters that the file doesn't have as they are, or ignore others that it has.

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        A net that isn't a Block, or a path that is none.
    ValueError
        A file that isn't one of parameters, or is damaged; names, shapes or dtypes that aren't the
        network's; or a ctx on which an initialized network isn't.
    OSError
        A file that can't be read.
    """
    blocks(net)
    path = as_path(path)
    try:
        arrays = _arrays(path.read_bytes())
    except (struct.error, ValueError) as error:
        raise ValueError(
            f"expected a file that save_parameters has saved, received path={str(path)!r}, which "
            f"is damaged or something else: {error}"
        ) from error
    ctx = [ctx] if isinstance(ctx, Context) else ctx
    parameters = net._collect_params_with_prefix()
    found = {parameters.get(name) for name in arrays}
    problems = {name: _misfit(parameters.get(name), array, ctx) for name, array in arrays.items()}
    if ignore_extra:
        problems = {name: problems[name] for name in problems if name in parameters}
    if not allow_missing:  # one of several names is enough for a parameter that is shared
        missing = {name for name, parameter in parameters.items() if parameter not in found}
        problems.update(dict.fromkeys(missing, "the file has no such parameter"))
    for name, problem in problems.items():
        if problem:
            raise ValueError(f"{str(path)!r}, {name!r}: {problem}; nothing was changed")
    for name in arrays.keys() & parameters.keys():
        array = nd.array(arrays[name], dtype=arrays[name].dtype)
        array = array.as_np_ndarray() if is_np_array() else array
        parameters[name]._load_init(array, ctx)
    return net


def _arrays(data):
    """The arrays in a file's bytes, by name; whatever isn't as it should be is an error."""
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values

    def array():
        magic, storage, rank = take("Iii")
        if magic not in DENSE or storage != 0 or rank < 0:
            raise ValueError(f"there is no dense array at byte {at}")
        shape = take(f"{rank}q")
        number = take("3i")[2]  # behind the kind and the number of its device
        if min(shape, default=1) < 1 or number not in DTYPES:
            raise ValueError(f"there is no shape and dtype at byte {at}")
        dtype, size = DTYPES[number], prod(shape)
        take(f"{size * dtype.itemsize}x")
        return np.frombuffer(data, dtype, size, at - size * dtype.itemsize).reshape(shape)

    if take("QQ")[0] != LIST:
        raise ValueError("it doesn't begin as one")
    arrays = [array() for _ in range(*take("Q"))]
    names = [take(f"{take('Q')[0]}s")[0].decode() for _ in range(*take("Q"))]
    if len(set(names)) != len(arrays) or len(names) != len(arrays) or at != len(data):
        raise ValueError(f"expected {len(arrays)} names and no more, up to byte {len(data)}")
    return dict(zip(names, arrays))


def _misfit(parameter, array, ctx):
    """Why a parameter, or None, can't take an array of the file; or None."""
    if parameter is None:
        return "the network has no such parameter"
    shape = array.shape if parameter.shape is None else parameter.shape
    if len(shape) != array.ndim or any(a not in (0, -1, b) for a, b in zip(shape, array.shape)):
        return f"expected the shape {shape}, received {array.shape}"
    if np.dtype(parameter.dtype) != array.dtype:
        expected, received = dtypes.name_of(parameter.dtype), dtypes.name_of(array.dtype)
        return f"expected {expected}, received {received}: net.cast({received!r}) before"
    initialized = parameter._data is not None or parameter._deferred_init
    if ctx is not None and initialized and set(ctx) != set(parameter.list_ctx()):
        return f"it is on {parameter.list_ctx()} already, received ctx={ctx}"
    return None

"""Crash-safe parameter files: written atomically, and validated before anything changes.

The format is Gluon's. `save_parameters` writes byte for byte what `Block.save_parameters` writes,
and each of the two libraries loads the other's files.
"""

import struct
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

import numpy as np
from mxnet import Context, nd
from mxnet.context import num_gpus
from mxnet.util import is_np_array

from .. import _checks, _gluon, dtypes
from .._paths import as_path, writable, write
from ..networks.traversal import all_blocks
from . import saved_arrays
from .saved_arrays import SavedArray

EXPORT_PREFIXES = ("arg:", "aux:")  # which `HybridBlock.export` puts before the names


def save_parameters(net: Any, path: Any) -> None:
    """Save a network's parameters; an existing file stays intact until the new one is complete.

    `net.save_parameters(path)` empties the file first, so if the process dies before it is done,
    both versions are lost. For a small network, it doesn't even report that the disk is full. Here,
    a full disk raises an `OSError`, and the old file stays. A process that is killed while it
    writes may leave a hidden temporary file beside the old one.

    Parameters
    ----------
    net : gluon.Block
        A network or a single layer, whose parameters have values.
    path : str or Path
        The file, ending in '.params'.

    Raises
    ------
    TypeError
        If `net` isn't a Block, or `path` is neither a str nor a Path.
    ValueError
        If a parameter has no values, or if `path` has another ending, is a directory, or is in a
        directory that doesn't exist.
    OSError
        If the file can't be written.

    See Also
    --------
    load_parameters : The reverse.

    Examples
    --------
    >>> net, twin = nn.Dense(2, in_units=3), nn.Dense(2, in_units=3)
    >>> net.initialize()
    >>> save_parameters(net, "net.params")
    >>> load_parameters(twin, "net.params")
    Dense(3 -> 2, linear)
    """
    all_blocks(net)
    path = writable(path, (".params",))
    arrays = {}
    for name, parameter in _gluon.parameters_by_path(net).items():
        try:
            arrays[name] = _gluon.mean_on_cpu(parameter)
        except RuntimeError as error:
            raise ValueError(
                f"expected a net whose parameters all have values, received one in which {name!r} "
                "has none; call net.initialize(), and net(x) once if input channels are deferred"
            ) from error
    write(path, serialized(arrays))


def serialized(arrays: Mapping[str, nd.NDArray]) -> bytes:
    """Return arrays and their names as the bytes of one of MXNet's files."""
    names = [name.encode() for name in arrays]
    parts = [struct.pack("<3Q", saved_arrays.LIST_MAGIC, 0, len(arrays))]
    parts += [_gluon.serialized(array) for array in arrays.values()]
    parts += [struct.pack("<Q", len(names))]
    parts += [struct.pack("<Q", len(name)) + name for name in names]
    return b"".join(parts)


def load_parameters(
    net: Any,
    path: Any,
    ctx: Any = None,
    allow_missing: bool = False,
    ignore_extra: bool = False,
    cast_dtype: bool = False,
    dtype_source: str = "current",
) -> Any:
    """Load parameters from a file, either all of them or none.

    The file may come from `save_parameters` (this one or Gluon's), from `net.export` or from
    `net.collect_params().save`, with or without the network's prefix in the names, and from any
    version of MXNet up to this one.

    `net.load_parameters(path)` allocates whatever sizes a damaged file states, and when it finds a
    parameter that doesn't fit, it has already changed others. Here, nothing is allocated or changed
    until everything is known to fit. Damaged numbers go unnoticed, since the files have no
    checksum.

    Parameters
    ----------
    net : gluon.Block
        A network or a single layer, initialized or not.
    path : str or Path
        The file.
    ctx : None, Context or list of Context
        Where to put the parameters of a network that isn't initialized; None is the CPU.
    allow_missing, ignore_extra : bool
        Whether to leave parameters alone that the file lacks, and to ignore arrays in the file that
        the network lacks.
    cast_dtype : bool
        Whether to convert where the file has another dtype; otherwise that is an error.
    dtype_source : {'current', 'saved'}
        With `cast_dtype`, which dtype to keep: the network's, converting the file's arrays, or the
        file's, converting the network's parameters.

    Returns
    -------
    gluon.Block
        `net` itself.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the file is damaged or of another kind, if its names, shapes or dtypes aren't the
        network's, if an initialized network isn't on `ctx`, or if `dtype_source` is something else.
    OSError
        If the file can't be read.

    See Also
    --------
    save_parameters : The reverse.
    """
    all_blocks(net)
    path = as_path(path)
    ctx = _as_contexts(ctx)
    allow_missing = _checks.boolean("allow_missing", allow_missing)
    ignore_extra = _checks.boolean("ignore_extra", ignore_extra)
    cast_dtype = _checks.boolean("cast_dtype", cast_dtype)
    _checks.choice("dtype_source", dtype_source, ("current", "saved"))
    parameters, arrays = _match_names(net, _read(path))
    problems = chain(
        _mismatches(parameters, arrays, ctx, cast_dtype),
        () if ignore_extra else _extra(net, parameters, arrays),
        () if allow_missing else _missing(parameters, arrays),
    )
    for name, problem in problems:  # the first one will do
        raise ValueError(f"{str(path)!r}, {name!r}: {problem}; nothing was changed")
    for name, array in arrays.items():
        if name in parameters:
            values = nd.array(array.values(), dtype=array.dtype)
            values = values.as_np_ndarray() if is_np_array() else values
            _gluon.load_values(parameters[name], values, ctx, cast_dtype, dtype_source)
    return net


def _read(path: Path) -> Dict[str, SavedArray]:
    try:
        return saved_arrays.read(path.read_bytes())
    except (struct.error, ValueError) as error:
        raise ValueError(
            f"expected a file written by save_parameters, received path={str(path)!r}, which is "
            f"damaged or of another kind: {error}"
        ) from error


def _as_contexts(ctx: Any) -> Optional[List[Any]]:
    """`ctx` as a list of contexts, or None."""
    if ctx is None:
        return None
    contexts = [ctx] if isinstance(ctx, Context) else ctx
    if not isinstance(contexts, (list, tuple)) or not all(isinstance(c, Context) for c in contexts):
        raise TypeError(
            "ctx has the wrong type: expected None, an mxnet.Context or a list of them, received "
            f"ctx={ctx!r}"
        )
    for context in contexts:
        if context.device_type == "gpu" and context.device_id >= num_gpus():
            raise ValueError(
                f"ctx has a device that doesn't exist, {context}: expected a CPU or one of "
                f"{num_gpus()} GPUs, received ctx={ctx!r}"
            )
    if not contexts:
        raise ValueError(f"ctx is empty: expected at least one mxnet.Context, received ctx={ctx!r}")
    return list(contexts)


def _match_names(
    net: Any, arrays: Dict[str, SavedArray]
) -> Tuple[Dict[str, Any], Dict[str, SavedArray]]:
    """The network's parameters and the file's arrays, by the names that the file uses."""
    bare = {name[4:] if name.startswith(EXPORT_PREFIXES) else name: arrays[name] for name in arrays}
    if len(bare) < len(arrays):  # two would share a name, so the prefixes are part of the names
        bare = arrays
    parameters = max(_naming_schemes(net), key=lambda scheme: len(scheme.keys() & bare.keys()))
    return parameters, bare


def _naming_schemes(net: Any) -> List[Dict[str, Any]]:
    """The network's parameters by path, by name without its prefix, and by full name.

    `save_parameters` writes paths. They come first, to be preferred where two schemes match
    equally many names.
    """
    schemes = [_gluon.parameters_by_path(net)]
    try:
        names = dict(net.collect_params().items())
    except AssertionError:  # two parameters have the same name
        return schemes
    prefix = net.prefix
    if all(name.startswith(prefix) for name in names):
        schemes.append({name[len(prefix) :]: parameter for name, parameter in names.items()})
    return [*schemes, names]


Problems = Iterator[Tuple[str, str]]  # a parameter's name, and why it can't be loaded


def _mismatches(
    parameters: Dict[str, Any], arrays: Dict[str, SavedArray], ctx: Any, cast_dtype: bool
) -> Problems:
    for name, array in arrays.items():
        if name in parameters:
            problem = _mismatch(parameters[name], array, ctx, cast_dtype)
            if problem:
                yield name, problem


def _extra(net: Any, parameters: Dict[str, Any], arrays: Dict[str, SavedArray]) -> Problems:
    for name in arrays:
        if name not in parameters:
            firsts = [repr(key) for scheme in _naming_schemes(net) for key in list(scheme)[:1]]
            examples = " or ".join(dict.fromkeys(firsts))
            hint = f" (its names are like {examples})" if examples else ""
            yield name, f"the network has no such parameter{hint}"


def _missing(parameters: Dict[str, Any], arrays: Dict[str, SavedArray]) -> Problems:
    found = {parameters.get(name) for name in arrays}
    for name, parameter in parameters.items():
        if parameter not in found:  # a shared parameter needs only one of its names
            yield name, "the file has no such parameter"


def _mismatch(parameter: Any, array: SavedArray, ctx: Any, cast_dtype: bool) -> Optional[str]:
    """Why a parameter can't take an array of the file, or None if it can."""
    shape = array.shape if parameter.shape is None else parameter.shape
    if len(shape) != len(array.shape) or any(
        a not in (0, -1, b) for a, b in zip(shape, array.shape)
    ):
        return f"expected the shape {shape}, received {array.shape}"
    if not is_np_array() and 0 in (len(array.shape), *array.shape):
        return f"it has the shape {array.shape}, which MXNet supports only in NumPy mode"
    if _gluon.has_values(parameter) and not array.shape:
        return "MXNet can't change an initialized scalar; load the file before initializing it"
    known = parameter.dtype is not None  # in a SymbolBlock it may not be
    if known and not cast_dtype and np.dtype(parameter.dtype) != array.dtype:
        expected, received = dtypes.name_of(parameter.dtype), dtypes.name_of(array.dtype)
        return (
            f"expected {expected}, received {received}; call net.cast({received!r}) first, or "
            "pass cast_dtype=True"
        )
    initialized = _gluon.has_values(parameter) or _gluon.is_deferred(parameter)
    if ctx is not None and initialized and set(ctx) != set(parameter.list_ctx()):
        return f"expected its present contexts {parameter.list_ctx()}, received ctx={ctx}"
    return None

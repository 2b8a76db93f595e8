"""Parameters in files, kept from accidents: a file is written whole, and judged before it is used.

The files are Gluon's own, byte for byte those of `Block.save_parameters`; its `load_parameters`
reads them, and `load_parameters` here reads its.
"""

import struct

import numpy as np
from mxnet import Context, nd
from mxnet.context import num_gpus
from mxnet.util import is_np_array

from . import _checks, _saved, dtypes
from ._files import as_path, writable, write
from .network import blocks

EXPORTED = ("arg:", "aux:")  # what `HybridBlock.export` writes before a name


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
    parts = [struct.pack("<3Q", _saved.LIST, 0, len(arrays))]
    parts += [array.__getstate__()["handle"] for array in arrays.values()]
    parts += [struct.pack("<Q", len(names))]
    parts += [struct.pack("<Q", len(name)) + name for name in names]
    write(path, b"".join(parts))


def load_parameters(
    net,
    path,
    ctx=None,
    allow_missing=False,
    ignore_extra=False,
    cast_dtype=False,
    dtype_source="current",
):
    """Load parameters from a file that `net.load_parameters` reads: all of them, or none.

    Those are the files of `save_parameters`, the one here or Gluon's, of `net.export` and of
    `net.collect_params().save`, with or without the network's prefix before the names, of this
    version of MXNet or an earlier one.

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
    cast_dtype : bool
        Convert where the file has another dtype, which else is an error.
    dtype_source : {'current', 'saved'}
        What then has its dtype converted: the file's arrays, or the network's parameters.

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        A net that isn't a Block, a path that is none, a ctx that is something else, or an argument
        that isn't a bool.
    ValueError
        A file that isn't one of parameters, or is damaged; names, shapes or dtypes that aren't the
        network's; a ctx on which an initialized network isn't; or an unknown dtype_source.
    OSError
        A file that can't be read.
    """
    blocks(net)
    path = as_path(path)
    ctx = _contexts(ctx)
    allow_missing = _checks.boolean("allow_missing", allow_missing)
    ignore_extra = _checks.boolean("ignore_extra", ignore_extra)
    cast_dtype = _checks.boolean("cast_dtype", cast_dtype)
    _checks.choice("dtype_source", dtype_source, ("current", "saved"))
    try:
        arrays = _saved.read(path.read_bytes())
    except (struct.error, ValueError) as error:
        raise ValueError(
            f"expected a file that save_parameters has saved, received path={str(path)!r}, which "
            f"is damaged or something else: {error}"
        ) from error
    parameters, arrays = _matched(net, arrays)
    found = {parameters.get(name) for name in arrays}
    problems = {
        name: _misfit(parameters[name], array, ctx, cast_dtype)
        for name, array in arrays.items()
        if name in parameters
    }
    if not ignore_extra:
        extra = "the network has no such parameter" + _named_like(net)
        problems.update((name, extra) for name in arrays if name not in parameters)
    if not allow_missing:  # one of several names is enough for a parameter that is shared
        missing = {name for name, parameter in parameters.items() if parameter not in found}
        problems.update(dict.fromkeys(missing, "the file has no such parameter"))
    for name, problem in problems.items():
        if problem:
            raise ValueError(f"{str(path)!r}, {name!r}: {problem}; nothing was changed")
    for name, array in arrays.items():
        if name in parameters:
            values = nd.array(array.values(), dtype=array.dtype)
            values = values.as_np_ndarray() if is_np_array() else values
            parameters[name]._load_init(values, ctx, cast_dtype, dtype_source)
    return net


def _contexts(ctx):
    """`ctx` as a list of contexts, or None."""
    if ctx is None:
        return None
    contexts = [ctx] if isinstance(ctx, Context) else ctx
    if not isinstance(contexts, (list, tuple)) or not all(isinstance(c, Context) for c in contexts):
        raise TypeError(
            "ctx has the wrong type: expected None, a mxnet.Context or a list of those, received "
            f"ctx={ctx!r}"
        )
    for one in contexts:
        if one.device_type == "gpu" and one.device_id >= num_gpus():
            raise ValueError(f"there is no device {one}, received ctx={ctx!r}")
    if not contexts:
        raise ValueError(f"ctx is empty: expected a mxnet.Context or more, received ctx={ctx!r}")
    return list(contexts)


def _matched(net, arrays):
    """The parameters of a network and the arrays of a file, by the kind of names that it has."""
    bare = {name[4:] if name.startswith(EXPORTED) else name: arrays[name] for name in arrays}
    if len(bare) < len(arrays):  # two would have one name, so these aren't names of parameters
        bare = arrays
    parameters = max(_namings(net), key=lambda naming: len(naming.keys() & bare.keys()))
    return parameters, bare


def _namings(net):
    """The network's parameters by their places in it, and by their names: less its prefix, whole.

    `save_parameters` writes the first; where two are known as many names of, the first counts.
    """
    namings = [net._collect_params_with_prefix()]
    try:
        names = dict(net.collect_params().items())
    except AssertionError:  # two parameters have the same name
        return namings
    prefix = net.prefix
    if all(name.startswith(prefix) for name in names):
        namings.append({name[len(prefix) :]: parameter for name, parameter in names.items()})
    return [*namings, names]


def _named_like(net):
    """An example of each kind of name, for an error."""
    firsts = [repr(name) for naming in _namings(net) for name in list(naming)[:1]]
    return f" (they are named like {' or '.join(dict.fromkeys(firsts))})" if firsts else ""


def _misfit(parameter, array, ctx, cast_dtype):
    """Why a parameter can't take an array of the file; or None."""
    shape = array.shape if parameter.shape is None else parameter.shape
    if len(shape) != len(array.shape) or any(
        a not in (0, -1, b) for a, b in zip(shape, array.shape)
    ):
        return f"expected the shape {shape}, received {array.shape}"
    if not is_np_array() and 0 in (len(array.shape), *array.shape):
        return f"it has the shape {array.shape}, which MXNet has in NumPy mode only"
    if parameter._data is not None and not array.shape:
        return "MXNet can't change the value of a scalar: load it before it is initialized"
    known = parameter.dtype is not None  # in a SymbolBlock it may not be
    if known and not cast_dtype and np.dtype(parameter.dtype) != array.dtype:
        expected, received = dtypes.name_of(parameter.dtype), dtypes.name_of(array.dtype)
        return (
            f"expected {expected}, received {received}: net.cast({received!r}) before, or "
            "cast_dtype=True"
        )
    initialized = parameter._data is not None or parameter._deferred_init
    if ctx is not None and initialized and set(ctx) != set(parameter.list_ctx()):
        return f"it is on {parameter.list_ctx()} already, received ctx={ctx}"
    return None

"""The algorithm of each layer by measurement, on one's own machine, network and input."""

import sys
from contextlib import contextmanager

from mxnet import autograd, nd
from mxnet.gluon import HybridBlock

from . import _checks, _files, dtypes
from .layer import ARRAYS, ask
from .measure import fastest
from .network import as_direct, blocks, flat
from .tuning import Row, Tuning, machine, named_layers, save


def tune(net, x, training=False, seconds=0.5, path=None, progress=True):
    """Give each `MultiChannelConv2D` of a network the algorithm that is fastest here, for x.

    The network is run once on x, eagerly, to see each layer's input. Then 'direct' and each of
    'align', 'split', 'tile', 'taps', 'pixels', 'blocked' and 'fourier' that is for the layer and
    may gain convolve that input with that weight, in hybridized layers of their own, timed in turn,
    call by call.

    A candidate isn't called if its arrays, by the bill of `mxconv.cost`, have more than 10 times
    the bytes of those of 'direct' (or 128 MB, if that is more) or a GB more than those. It is
    dropped if none of its first three calls takes less than 4 times as long as 'direct'.

    Layers alike are measured once, and a layer that is used several times for its first input.
    Layers that x doesn't reach keep what they have.

    A candidate is refused if its output, or a gradient when training, differs from that of 'direct'
    by more than rounding can explain: 3 gamma_n sum|K||X|, see `rounding_bound`, one gamma_n for
    each of the two and one for the sum's own rounding; so Inf and NaN in x leave 'direct'. It is
    taken if its gain, the ratio of the medians of 'direct' and its own, exceeds 1.05 and the noise:
    the ratio of the medians of 'direct' and of 'direct' measured once more, the faster of which the
    gain is over. In inference the time until the output is there has to have this gain, and also
    the time until another operator has read it, which can include a change of layout. A training
    step is a forward and a backward pass, to input and parameters.

    Graphs with a layer that changes are traced again. Parameters and gradients aren't touched.
    After an error or an interruption the network is as it was, apart from a deferred
    initialization that the first call has finished.

    Parameters
    ----------
    net : gluon.Block
        An initialized network, or a lone layer; as in `convert`, the outermost block.
    x : NDArray, or tuple of those
        An input of the network, of the shape, dtype and context that matter. A tuple is the inputs
        of a network that takes several, which is called as net(*x); an input that is a list of
        arrays is one in it.
    training : bool
        Measure training steps rather than inference.
    seconds : float
        How long to measure each distinct convolution. At least five rounds are measured, or one,
        where five would take more than ten times as long.
    path : None, str or Path
        A file that ends in .json, for `load_tuning`.
    progress : bool
        Show the progress on standard error: by tqdm if it is installed and that is a terminal, else
        by a line for each convolution.

    Returns
    -------
    Tuning

    Raises
    ------
    TypeError
        net isn't a Block, x or an item of it isn't an array, seconds isn't a number, path isn't
        one, or training or progress isn't a bool.
    ValueError
        A network without such layers or not initialized, an x that is empty or reaches none of
        them, seconds that aren't positive, or a path that can't be written. What the network itself
        raises for x is passed on.

    Examples
    --------
    >>> layer = MultiChannelConv2D(16, kernel_size=3, in_channels=2)
    >>> layer.initialize()
    >>> tuning = tune(layer, nd.ones((1, 2, 8, 8)), progress=False)
    >>> layer.algorithm  # 16 output channels: nothing else is for them
    'direct'
    """
    names = named_layers(net)
    inputs = x if isinstance(x, tuple) else (x,)
    _check_arrays("x", x, kinds=tuple)
    training = _checks.boolean("training", training)
    _checks.positive("seconds", seconds)
    _checks.boolean("progress", progress)
    path = None if path is None else _files.writable(path, (".json",))
    seen, traced = _inputs(net, names, inputs), _traced(net)
    kinds = {layer: (*_kind(layer, data), layer in traced) for layer, data in seen.items()}
    distinct = {}
    for layer, kind in kinds.items():
        distinct.setdefault(kind, layer)
    results = {
        kind: fastest(layer, seen[layer], training, layer in traced, seconds)
        for kind, layer in _shown(distinct.items(), progress)
    }
    rows, choices = [], {}
    for layer in (layer for layer in names if layer in seen):
        data = seen[layer]
        chosen, gain, refused = results[kinds[layer]]
        row = (names[layer], layer.geometry, data.shape, layer.algorithm, chosen, gain, refused)
        rows.append(Row(*row))
        choices[layer] = chosen
    tuning = Tuning(tuple(rows), training, machine())
    if path is not None:
        save(path, tuning)
    ask(choices)
    return tuning


def _check_arrays(name, value, kinds=(tuple, list)):
    """Refuse what is neither an array nor one of the `kinds` of sequence of arrays, or of such."""
    if isinstance(value, kinds):
        if not value:
            raise ValueError(
                f"{name} is empty: expected an array for each input, received {value!r}"
            )
        for i, item in enumerate(value):
            _check_arrays(f"{name}[{i}]", item)
    elif type(value) not in ARRAYS:
        several = " or a tuple of them" if kinds is tuple else ""
        raise TypeError(
            f"{name} has the wrong type: expected an mxnet.nd.NDArray or an mxnet.np.ndarray"
            f"{several}, received {type(value).__module__}.{type(value).__name__}"
        )


def _inputs(net, layers, inputs):
    """The first input of each layer when the network is called with its own."""
    for parameter in net.collect_params().values():
        if parameter._data is None and not parameter._deferred_init:
            raise ValueError(
                f"expected a network whose parameters have values, received a {type(net).__name__} "
                f"with {parameter.name!r} without: call net.initialize() or "
                "net.load_parameters(...)"
            )
    seen, hooks = {}, []

    def see(layer, arguments):
        seen.setdefault(layer, arguments[0])

    try:
        with autograd.pause(), as_direct(net), _eager(net):
            for layer in layers:
                hooks.append(layer.register_forward_pre_hook(see))
            net(*inputs)
            nd.waitall()
    finally:
        for hook in hooks:
            hook.detach()
        for layer in layers:  # else 'auto' wouldn't decide for this input
            layer.__dict__.pop("_accepted", None)
    if not seen:
        shapes = ", ".join(str(array.shape) for array in flat(inputs))
        raise ValueError(f"x reaches none of the layers, received an x of shape {shapes}")
    return seen


def _traced(net):
    """The blocks that are part of a graph of a hybridized block above them."""
    active = [block for block in blocks(net) if getattr(block, "_active", False)]
    return {below for block in active for below in blocks(block) if below is not block}


@contextmanager
def _eager(net):
    """Have no block run the graph that it has traced, inside of which there are no hooks."""
    active = {block: block._active for block in blocks(net) if isinstance(block, HybridBlock)}
    try:
        for block in active:
            block._active = False
        yield
    finally:
        for block, was_active in active.items():
            block._active = was_active


def _kind(layer, x):
    """What the time depends on."""
    return layer.geometry, layer.bias is None, x.shape, dtypes.name_of(x.dtype), x.context


def _shown(items, progress):
    """The items one by one, with the progress shown."""
    if not progress:
        return items
    if sys.stderr.isatty():  # elsewhere, every change of the bar would be kept
        try:
            from tqdm import tqdm
        except ImportError:
            pass
        else:
            return tqdm(items, desc="mxconv.tune", unit="convolution")
    return _in_lines(items)


def _in_lines(items):
    for number, item in enumerate(items, 1):
        print(f"mxconv.tune: convolution {number} of {len(items)}", file=sys.stderr, flush=True)
        yield item

"""The algorithms of a network's layers: chosen by the rules or by measuring, set, or loaded."""

from typing import Any, Dict, List, Tuple

from mxnet.gluon import Block

from .. import _checks, _paths, dtypes
from .._checks import ARRAY_TYPES
from .._progress import progress_of
from ..algorithms import CHOICES
from ..layer import MultiChannelConv2D
from ..networks.traversal import Where, check_support, matching_layers
from . import apply
from .inputs import arrays_by_running, blocks_in_graphs, shapes_by_tracing
from .record import Choices, LayerChoice, machine, named_layers, read, save
from .timing import Fastest, measure_fastest

Layers = Dict[MultiChannelConv2D, str]  # with their names, or with algorithms


def choose_algorithms(
    net: Block,
    x: Any,
    measure: bool = False,
    training: bool = False,
    seconds: float = 0.5,
    path: Any = None,
    progress: bool = True,
) -> Choices:
    """Choose the algorithm of each `MultiChannelConv2D` in a network, for an input.

    Layers with 'auto' choose by themselves, at the first call of a layer or of the hybridized
    network around it. This function chooses again, for another size or another mode, and says what
    it has chosen.

    By the rules (`measure=False`), the shape of x is enough. Nothing is computed, and no parameter
    needs values. Layers with 'auto' choose again; layers with a requested algorithm keep it.

    By measuring (`measure=True`), each layer is timed on its own input with every algorithm that
    might be faster than 'native'. All layers that x reaches get the fastest, by name.

    A layer that is used several times chooses for its first input. Layers that x doesn't reach keep
    what they have.

    Parameters
    ----------
    net : gluon.Block
        A network or a lone layer. Pass the outermost block, as for `convert`. To measure, it must
        be initialized; otherwise, it must be one that can be hybridized.
    x : NDArray, or tuple of int
        An input of the network; if nothing is measured, its shape is enough. To measure, its dtype
        and context matter too. For several inputs, a tuple of arrays or of shapes; an input that is
        a list of arrays is one item of it.
    measure : bool
        Whether to measure on this machine instead of following the rules.
    training : bool
        Whether to choose for training steps instead of inference. By the rules, a choice for
        inference lasts until the first recorded call, which chooses for training.
    seconds : float
        How long to measure each distinct convolution. At least five rounds are measured, or one if
        five would take more than ten times as long.
    path : None, str or Path
        A file ending in .json to save the choices to, for `load_choices`, which then requests
        them by name.
    progress : bool
        Whether to show the progress of measuring on standard error: with tqdm if it is installed
        and standard error is a terminal, otherwise with one line per convolution.

    Returns
    -------
    Choices
        What was chosen; `print` shows it as a table.

    Raises
    ------
    TypeError
        If net isn't a Block, or can't be traced although nothing is measured; if x isn't an array
        or a shape, or isn't an array although it is needed to measure; if seconds isn't a number,
        path isn't a str or Path, or measure, training or progress isn't a bool.
    ValueError
        If the network has no such layers; if x is empty, doesn't fit the network, or reaches none
        of the layers; if seconds isn't positive, or path can't be written; if the network isn't
        initialized although it is measured. Whatever the network itself raises for x is passed on.

    See Also
    --------
    set_algorithm : Request an algorithm by name.
    load_choices : Give a network the choices that were saved.
    mxconv.cpu : Process-wide settings that change what is fastest.

    Notes
    -----
    Graphs that contain a changed layer are retraced. Parameters and gradients aren't touched. After
    an error or an interruption the network is as it was, except that a deferred initialization may
    have finished.

    To measure, the network is run once on x, eagerly, to record the input of each layer. Candidates
    then run in hybridized layers of their own, with copies of the parameters, one call each in
    turn. Equal layers are measured once.

    - A candidate isn't called if its arrays, as `mxconv.count_cost` counts them, take more than 10
      times the bytes of those of 'native' (or 128 MB, if that is more), or 1 GB more. It is dropped
      if each of its first three calls takes more than 4 times as long as 'native'.
    - A candidate is rejected if its output differs from that of 'native' by more than rounding can
      explain; in training, if a gradient does. The bound is 3 gamma_n sum|K||X|: one gamma_n for
      each of the two results, and one for the rounding of the sum itself. Inf or NaN in x therefore
      leave every layer with 'native'.
    - A candidate wins if its gain exceeds 1.05 and the noise. 'native' is measured twice: the gain
      is the speed-up over the faster of its two medians, and the noise is their ratio. In inference
      two times must show the gain, until the output is computed and until another operator has read
      it, which may include a conversion of its layout. A training step is a forward and a backward
      pass, to the input and the parameters.

    References
    ----------
    N. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed. (2002), section 3.1, for
    gamma_n; see also `mxconv.exercises.rounding_error_bound`.

    Examples
    --------
    >>> net = nn.HybridSequential()
    >>> net.add(MultiChannelConv2D(64, 3, padding=1), MultiChannelConv2D(2, 3, padding=1))
    >>> net.hybridize()
    >>> choices = choose_algorithms(net, (1, 3, 128, 128))
    >>> layer = MultiChannelConv2D(16, kernel_size=3, in_channels=2)
    >>> layer.initialize()
    >>> choices = choose_algorithms(layer, nd.ones((1, 2, 8, 8)), measure=True, progress=False)
    >>> layer.algorithm  # with 16 output channels, there is no candidate
    'native'
    """
    names = named_layers(net)
    measure = _checks.boolean("measure", measure)
    training = _checks.boolean("training", training)
    _checks.positive("seconds", seconds)
    _checks.boolean("progress", progress)
    if measure:
        hint = "a shape is enough only without measure=True"
        _checks.arrays("x", x, (tuple,), hint)
    path = None if path is None else _paths.writable(path, (".json",))
    if measure:
        rows, algorithms = _measured(net, names, x, training, seconds, progress)
    else:
        kinds = (tuple, list, *ARRAY_TYPES)
        _checks.instance("x", x, kinds, "an MXNet array, or its shape as a tuple of integers")
        shapes = _checks.input_shapes(_shapes(x), name="x")
        rows, inputs = _predicted(net, names, shapes, training)
    chosen = Choices(tuple(rows), measure, training, machine())
    if path is not None:
        save(path, chosen)
    if measure:  # set last: if the file can't be written, the network stays as it was
        apply.assign(algorithms)
    else:
        apply.choose(inputs)
    return chosen


def set_algorithm(net: Block, algorithm: str, where: Where = None) -> Block:
    """Request an algorithm from every `MultiChannelConv2D` in a network, or from some of them.

    Graphs that contain a changed layer are retraced, with their flags and backend.

    Parameters
    ----------
    net : gluon.Block
        A network or a lone layer. Pass the outermost block, as for `convert`.
    algorithm : str
        As in `MultiChannelConv2D`.
    where : None, str or callable
        Which layers: all of them, those whose whole name matches a regular expression, or those for
        which `where(layer)` is true.

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        If net isn't a Block, or where is none of the above.
    ValueError
        If the algorithm is unknown or doesn't support one of the layers, if the network has no such
        layers, or if where selects none. Nothing is changed then.

    See Also
    --------
    choose_algorithms : Choose by the rules or by measuring.
    mxconv.algorithms : The algorithms and what they do.

    Examples
    --------
    >>> net = nn.HybridSequential()
    >>> net.add(MultiChannelConv2D(8, 3), MultiChannelConv2D(4, 1))
    >>> net = set_algorithm(net, "im2col", where=lambda layer: layer.geometry.pointwise)
    >>> [layer.algorithm for layer in net]
    ['auto', 'im2col']
    """
    _checks.choice("algorithm", algorithm, CHOICES)
    layers = matching_layers(net, where)
    check_support(algorithm, layers)
    apply.assign(dict.fromkeys(layers, algorithm))
    return net


def load_choices(net: Block, path: Any) -> Block:
    """Give the layers of a network the algorithms that `choose_algorithms` has saved.

    Parameters
    ----------
    net : gluon.Block
        A network of the same structure; pass the outermost block. If its input channels are
        deferred, call it once before.
    path : str or Path
        The file.

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        If net isn't a Block, or path isn't a str or Path.
    ValueError
        If the file holds something else, or names a layer that isn't in the network or has another
        geometry, or an algorithm that is unknown or doesn't support the layer. Nothing is changed
        then.
    OSError
        If the file can't be read.

    See Also
    --------
    choose_algorithms : Choose and save.
    """
    apply.assign(read(path, named_layers(net)))
    return net


def _predicted(
    net: Block, names: Layers, shapes: Tuple[Any, ...], training: bool
) -> Tuple[List[LayerChoice], Dict[MultiChannelConv2D, Any]]:
    """Return a row for each layer that the inputs reach, and what `apply.choose` takes for them."""
    rows, inputs, in_graphs = [], {}, blocks_in_graphs(net)
    for layer, shape in shapes_by_tracing(net, names, shapes).items():
        inputs[layer] = x = dict(
            input_shape=shape,
            dtype=dtypes.as_dtype(layer.weight.dtype),
            context=layer.contexts()[0],
            training=training,
            in_graph=layer in in_graphs,
        )
        chosen = layer.predict_algorithm(**x)
        rows.append(LayerChoice(names[layer], layer.geometry, shape, layer.algorithm, chosen))
    return rows, inputs


def _measured(
    net: Block, names: Layers, x: Any, training: bool, seconds: float, progress: bool
) -> Tuple[List[LayerChoice], Layers]:
    """Return a row for each layer that x reaches, and the fastest algorithm of each layer."""
    inputs = arrays_by_running(net, names, x if isinstance(x, tuple) else (x,))
    in_graphs = blocks_in_graphs(net)
    keys = {
        layer: (*_measurement_key(layer, array), layer in in_graphs)
        for layer, array in inputs.items()
    }
    distinct: Dict[Any, MultiChannelConv2D] = {}
    for layer, key in keys.items():
        distinct.setdefault(key, layer)
    results: Dict[Any, Fastest] = {
        key: measure_fastest(layer, inputs[layer], training, layer in in_graphs, seconds)
        for key, layer in progress_of(
            distinct.items(), "choose_algorithms", "convolution", progress
        )
    }
    rows, algorithms = [], {}
    for layer in (layer for layer in names if layer in inputs):
        fastest = results[keys[layer]]
        geometry, shape = layer.geometry, inputs[layer].shape
        rows.append(LayerChoice(names[layer], geometry, shape, layer.algorithm, *fastest))
        algorithms[layer] = fastest.name
    return rows, algorithms


def _measurement_key(layer: MultiChannelConv2D, x: Any) -> Tuple[Any, ...]:
    """Return what the times of a layer depend on."""
    return layer.geometry, layer.bias is None, x.shape, dtypes.name_of(x.dtype), x.context


def _shapes(x: Any) -> Any:
    """Replace arrays by their shapes, in the same nesting; leave anything else as it is."""
    if isinstance(x, ARRAY_TYPES):
        return x.shape
    if type(x) in (tuple, list):
        return type(x)(map(_shapes, x))
    return x

"""`MultiChannelConv2D`: check, run the algorithm, activate."""

from dataclasses import replace
from threading import RLock
from weakref import WeakKeyDictionary

from mxnet import autograd, cpu, current_context, nd, np, sym
from mxnet.gluon import ParameterDict, nn
from mxnet.gluon.block import _BlockScope
from mxnet.util import is_np_array

from . import _checks, _graphs, _layouts, dtypes
from ._cpuinfo import has_avx512
from .algorithms import ALGORITHMS, TAKE_APART, resolve
from .algorithms.rule import choose
from .algorithms.steps import pad
from .geometry import OPERATOR, ConvGeometry

NAMES = ("auto", *ALGORITHMS)
ARRAYS = (nd.NDArray, np.ndarray)
SHARED = (type(None), ParameterDict)

# For what a layer does once, and for traced graphs: in MXNet they can't be called by two at a time.
ONE_THREAD = RLock()

# What a layer has that an nn.Conv2D hasn't.
OWN = (
    "_geometry",
    "_algorithm",
    "_known_kwargs",
    "_traced_in",
    "_accepted",
    "_chosen",
    "_recorded",
)

# What of a geometry can be changed when there is a weight, and what MXNet's operator calls it.
RESHAPED = {ours: OPERATOR[ours] for ours in ("strides", "padding", "dilation")}

ACTIVATIONS = (None, "relu", "sigmoid", "softrelu", "softsign", "tanh")


class MultiChannelConv2D(nn.Conv2D):
    """The chapter's multi-channel convolution as a layer, in place of `gluon.nn.Conv2D`.

    With stride 1 and no padding it equals `corr2d_multi_in_out(x, weight)` for each example x, plus
    a bias per output channel; see *Dive into Deep Learning*, "Multiple Input and Output Channels".
    It is a `gluon.nn.Conv2D` with the same arguments, parameter names and files, and with more
    kinds of padding, `layout='NHWC'` on the CPU, `dtype` and `algorithm` besides.

    Parameters
    ----------
    channels : int
        Output channels, c_o.
    kernel_size : int or pair of int
        Height and width of the kernel, in elements.
    strides : int or pair of int
        Rows and columns from one output's window to the next.
    padding : int, pair of int, ((top, bottom), (left, right)), 'same' or 'valid'
        Rows and columns put around the input: on both sides alike, or on each as given; 'same'
        keeps height and width (with strides of 1), 'valid' is none.
    dilation : int or pair of int
        Rows and columns of the input from one tap of the kernel to the next.
    groups : int
        Groups of channels that are convolved apart from each other; c_i and c_o are multiples.
    layout : {'NCHW', 'NHWC'}
        The order of the axes of input and output. As in `nn.Conv2D`, the weight is
        (c_o, c_i / groups, k_h, k_w) for NCHW and (c_o, k_h, k_w, c_i / groups) for NHWC.
    activation : {None, 'relu', 'sigmoid', 'softrelu', 'softsign', 'tanh'}
        A function applied to every output.
    use_bias : bool
        Whether an element per output channel is added.
    weight_initializer, bias_initializer : str or Initializer
        As in every Gluon layer.
    in_channels : int
        Input channels, c_i; 0 to take them from the first input.
    algorithm : 'auto' or one of `mxconv.algorithms.NAMES`
        How to compute it; all give the same results up to rounding. 'direct' is MXNet's operator,
        'matmul' is im2col and a matrix product, 'definition' runs the chapter's functions. 'align',
        'split', 'tile', 'taps', 'pixels', 'blocked' and 'fourier' are faster than 'direct' for some
        geometries; their modules say which, and 'auto' runs all but 'pixels' and 'fourier' where
        they clearly are, see `chosen_algorithm`. A layer that waits for its input channels inside a
        hybridized network is traced as 'direct'.
    padding_mode : {'zeros', 'reflect', 'edge', 'circular'}
        What the padding holds; 'replicate' is 'edge'.
    dtype : str or dtype
        Of the parameters and the input: 'float32', 'float64', 'float16' (on a GPU) or 'bfloat16'
        (with 'direct', NCHW and even padding by zeros, which is what MXNet has it for).
    prefix, params
        As in every Gluon block, by name. Any other argument is an error.

    Inputs
        **x** of shape (n, c_i, h, w), an `mx.nd` or `mx.np` array or a Symbol.

    Outputs
        **y** of shape (n, c_o, o_h, o_w), per axis
        o = floor((h + before + after - d (k - 1) - 1) / s) + 1.

    Raises
    ------
    ValueError, TypeError
        In the constructor for an argument that can't be; at the call for an input of another rank,
        number of channels, dtype or context, or smaller than the kernel.

    Notes
    -----
    `strides`, `padding`, `dilation` and `algorithm` can be set on a built layer. Graphs that have
    been traced of blocks above it are traced again.

    Examples
    --------
    >>> layer = MultiChannelConv2D(4, kernel_size=3, padding=1, in_channels=2)
    >>> layer.initialize()
    >>> layer(nd.ones((1, 2, 5, 5))).shape
    (1, 4, 5, 5)
    """

    _accepted = (None, ())  # the weight's arrays, and the last input's shape, dtype and context
    _chosen = (None, "direct")  # what 'auto' runs, and the dtype and device that it was chosen for
    _recorded = (None, False)  # the last input's shape that was recorded, and if it is copied then
    _portable = False  # traced for a file or a count, without what only MXNet's training needs

    def __init__(
        self,
        channels,
        kernel_size,
        strides=(1, 1),
        padding=(0, 0),
        dilation=(1, 1),
        groups=1,
        layout="NCHW",
        activation=None,
        use_bias=True,
        weight_initializer=None,
        bias_initializer="zeros",
        in_channels=0,
        algorithm="auto",
        padding_mode="zeros",
        dtype="float32",
        *,
        prefix=None,
        params=None,
        **others,
    ):
        _checks.no_others("MultiChannelConv2D", others)
        dtype = dtypes.as_dtype(dtype)
        geometry = ConvGeometry(
            channels=channels,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=groups,
            in_channels=in_channels,
            layout=layout,
            padding_mode=padding_mode,
        )
        super().__init__(
            geometry.channels,
            geometry.kernel_size,
            geometry.strides,
            (0, 0),
            geometry.dilation,
            geometry.groups,
            layout,
            _checks.choice("activation", activation, ACTIVATIONS),
            _checks.boolean("use_bias", use_bias),
            _checks.initializer("weight_initializer", weight_initializer),
            _checks.initializer("bias_initializer", bias_initializer),
            geometry.in_channels,
            prefix=_checks.instance("prefix", prefix, (type(None), str), "None or a str"),
            params=_checks.instance("params", params, SHARED, "None or a gluon.ParameterDict"),
        )
        self._kwargs["pad"] = geometry.padding
        self._stand_for(geometry, _algorithm(algorithm, geometry))
        if dtype.name != "float32":
            self.cast(dtype)

    def _stand_for(self, geometry, algorithm):
        """Be the convolution of a geometry that `_kwargs` has already, asked for an algorithm."""
        self._geometry = geometry
        self._algorithm = algorithm
        self._known_kwargs = dict(self._kwargs)  # to see where somebody changes them
        self._traced_in = WeakKeyDictionary()  # the blocks whose graphs have it, see _graphs

    @property
    def algorithm(self):
        """The algorithm that was asked for, 'auto' or a name; set it to ask for another."""
        return self._algorithm

    @algorithm.setter
    def algorithm(self, name):
        ask({self: name})

    @property
    def chosen_algorithm(self):
        """The algorithm that runs: the one asked for or, for 'auto', what the rule has chosen.

        The rule (`mxconv.algorithms.rule`) needs the input's size. So it decides at the layer's
        first call with an array, and again when dtype or device change; until then, 'direct' runs.
        Inside a hybridized network layers see no arrays: call it once before `hybridize()`, or
        `mxconv.choose_algorithms(net, input_shape)` at any time.
        """
        return self._chosen[1] if self._algorithm == "auto" else self._algorithm

    @property
    def geometry(self):
        """The layer's `ConvGeometry`, with the input channels that its weight has by now."""
        if self._kwargs != self._known_kwargs:
            self._take_kwargs()
        if not self._geometry.in_channels:
            c_i = _in_channels(self._geometry, self.weight)
            if c_i:
                self._geometry = self._geometry.with_in_channels(c_i)
        return self._geometry

    @property
    def strides(self):
        """Rows and columns from one output's window to the next, a pair; an int can be set too."""
        return self.geometry.strides

    @strides.setter
    def strides(self, value):
        reshape({self: self.changed(strides=value)})

    @property
    def padding(self):
        """Rows and columns around the input; set whatever the constructor takes.

        'same' is for the dilation at that time.
        """
        return self.geometry.padding

    @padding.setter
    def padding(self, value):
        reshape({self: self.changed(padding=value)})

    @property
    def dilation(self):
        """Rows and columns from one tap of the kernel to the next, a pair; or set an int."""
        return self.geometry.dilation

    @dilation.setter
    def dilation(self, value):
        reshape({self: self.changed(dilation=value)})

    def changed(self, **fields):
        """The layer's geometry with other strides, padding or dilation, which its algorithm is for.

        Raises
        ------
        TypeError, ValueError
            As in the constructor.
        """
        geometry = replace(self.geometry, **fields)
        _algorithm(self._algorithm, geometry)
        return geometry

    def _take_kwargs(self):
        """Take over what somebody has changed in `_kwargs`, as published networks do."""
        known = self._geometry
        geometry = ConvGeometry.of_operator(
            self._kwargs, in_channels=known.in_channels, padding_mode=known.padding_mode
        )
        weight = (geometry.channels, geometry.kernel_size, geometry.groups, geometry.layout)
        if weight != (known.channels, known.kernel_size, known.groups, known.layout):
            raise ValueError(
                f"{self.name}._kwargs no longer suits the weight: expected the channels, kernel, "
                f"groups and layout of {known}, received {self._kwargs}"
            )
        _algorithm(self._algorithm, geometry)
        self._take(geometry)
        _graphs.drop([self, *self._traced_in])

    def _take(self, geometry):
        """Be the convolution of another geometry, for the same weight and algorithm."""
        self._geometry = geometry
        self._kwargs.update({name: geometry.attributes[name] for name in RESHAPED.values()})
        self._known_kwargs = dict(self._kwargs)
        self._forget()

    def _forget(self):
        """Know nothing of the last input any more, so that 'auto' decides for the next."""
        for name in ("_accepted", "_chosen"):
            self.__dict__.pop(name, None)

    def forward(self, x):
        """Check x and convolve it; an `mx.np` array gives an `mx.np` array."""
        if isinstance(x, sym.Symbol):
            return super().forward(x)
        x, context = self._check(x)
        numpy = is_np_array() or isinstance(x, np.ndarray)
        x = x.as_nd_ndarray()
        if autograd.is_recording() and self._gradient_in_blocks() and self._recorded_behind_cut(x):
            x = _layouts.plain(x)
        y = self._run(x, context)
        if self.weight.dtype == dtypes.BFLOAT16 and not autograd.is_training():
            y = y + 0  # laid out plainly: `astype` fails on the layout that oneDNN has left it in
        return y.as_np_ndarray() if numpy else y.as_nd_ndarray()

    def _run(self, x, context):
        """What `HybridBlock.forward` does, less what `_check` has found out already."""
        blocked = self.chosen_algorithm == "blocked"
        if blocked and not (autograd.is_recording() or autograd.is_training()):
            with autograd.train_mode():
                return self._run(x, context)
        if not self._active:
            parameters = {name: p.data(context) for name, p in self._reg_params.items()}
            return self.hybrid_forward(nd, x, **parameters)
        with ONE_THREAD:
            if self._cached_op is None or self._callback is not None:
                return super().forward(x)
            pairs = self._cached_op_args  # (True, position) is x, (False, parameter)
            return self._cached_op(*[x if is_x else p.data(context) for is_x, p in pairs])

    def hybrid_forward(self, F, x, weight, bias=None):
        """Convolve arrays (F is `mx.nd`) or trace symbols (F is `mx.sym`)."""
        geometry = self.geometry
        core = geometry.core
        algorithm = resolve(self.chosen_algorithm, core)
        if self.weight.dtype == dtypes.BFLOAT16:
            _checks.bfloat16_layer(geometry, self.chosen_algorithm, self._contexts())
        x, weight = x.as_nd_ndarray(), weight.as_nd_ndarray()
        bias = None if bias is None else bias.as_nd_ndarray()
        if F is sym:
            x = self._traced(x, weight)
        if geometry.layout == "NHWC":
            x, weight = x.transpose((0, 3, 1, 2)), weight.transpose((0, 3, 1, 2))
        if geometry.padded_apart:
            x = pad(F, x, geometry.margins, geometry.padding_mode)
        y = algorithm(F, x, weight, bias, core)
        if geometry.layout == "NHWC":
            y = y.transpose((0, 2, 3, 1))
        if is_np_array():
            y = y.as_np_ndarray()
        return y if self.act is None else self.act(y)

    def _traced(self, x, weight):
        """The Symbol x, or a copy where its gradient may be cut; and note what is being traced."""
        self._traced_in.update(_graphs.being_traced())
        if self.geometry.in_channels:  # Gluon keeps the Symbol from when they were unknown
            weight._set_attr(__shape__=str(self.weight.shape))
        may_be_cut = not self._portable and self._gradient_in_blocks()
        copied = may_be_cut and _layouts.traced_behind_cut(x, _graphs.input_shapes())
        return _layouts.plain(x) if copied else x

    def _recorded_behind_cut(self, x):
        """Whether a concatenation may have to cut the gradient of x, which is being recorded.

        Asking takes time, so it is asked once for inputs of one shape: what is before a layer
        rarely changes. After one that was, all are taken to be.
        """
        shape, copied = self._recorded
        if shape != x.shape and not copied:
            self._recorded = x.shape, _layouts.recorded_behind_cut(x)
        return self._recorded[1]

    def _gradient_in_blocks(self):
        """Whether oneDNN may keep channels of the gradient to x together (0 are unknown)."""
        geometry = self.geometry
        if geometry.layout != "NCHW" or geometry.padded_apart:
            return False
        return self.chosen_algorithm not in TAKE_APART and _layouts.block(geometry.in_channels) > 1

    def cast(self, dtype):
        """Convert the parameters to a dtype that MXNet convolves; 'bfloat16' is one."""
        dtype = dtypes.as_dtype(dtype)
        if dtype == dtypes.BFLOAT16:
            for parameter in self.params.values():
                dtypes.draw_in_float32(parameter)
        super().cast(dtype)

    def infer_shape(self, x):
        """Take the number of input channels from x, and finish a deferred initialization."""
        c_i = x.shape[self._geometry.layout.index("C")]
        self.weight.shape = self.geometry.with_in_channels(c_i).weight_shape
        for parameter in self.params.values():
            parameter._finish_deferred_init()

    def _contexts(self):
        """Where the parameters are, or will be; the current context until that is known."""
        try:
            return self.weight.list_ctx()
        except RuntimeError:  # it isn't initialized
            return [current_context()]

    def _check(self, x):
        """x and its context. Refuse what MXNet would stumble over later; fix deferred channels.

        An input like the last one, for the same arrays of the weight, is not looked at again.
        """
        if type(x) not in ARRAYS:
            raise TypeError(
                "expected an mxnet.nd.NDArray, an mxnet.np.ndarray or a Symbol as input, received "
                f"{type(x).__module__}.{type(x).__name__}"
            )
        like = shape, dtype, context = x.shape, x.dtype, x.context
        arrays, last = self._accepted
        known = like == last and arrays is self.weight._data
        if known and self._kwargs == self._known_kwargs:
            return x, context
        if context.device_type == "cpu_shared":  # as the worker processes of a DataLoader give it
            return self._check(x.as_in_context(cpu(context.device_id)))
        with ONE_THREAD:
            _checks.layer_input(shape, dtype, context, self.geometry, self.weight)
            if any(parameter._deferred_init for parameter in self._reg_params.values()):
                self.infer_shape(x)
            if self._algorithm == "auto" and self._choose(
                self.geometry.core_shape(shape), dtype, context
            ):
                self._clear_cached_op()
            self._accepted = (self.weight._data, like)
        return x, context

    def _choose(self, core_shape, dtype, context):
        """Have the rule decide for 'auto', once for each dtype and device; say if that is new."""
        before, decided_for = self._chosen, (dtype, context.device_type)
        if before[0] == decided_for:
            return False
        on_cpu = context.device_type != "gpu" and has_avx512()
        name = choose(self.geometry.core, core_shape, dtype, on_cpu)
        self._chosen = (decided_for, name)
        return name != before[1]

    def __getstate__(self):
        """All but the traced graph, which can't be copied, and the scope, which points up."""
        state = self.__dict__.copy()
        state.update(_cached_graph=(), _cached_op=None, _cached_op_args=[])
        for name in ("_scope", "_traced_in"):
            del state[name]
        for name in ("_accepted", "_recorded"):  # what it knows of the place that it is called in
            state.pop(name, None)
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.__dict__.update(_scope=_BlockScope(self), _traced_in=WeakKeyDictionary())
        for parameter in self.params.values():  # mark the copied arrays as variables to autograd
            grad_req, parameter.grad_req = parameter.grad_req, "null"
            parameter.grad_req = grad_req

    def __repr__(self):
        text = super().__repr__()[:-1]
        if self._geometry.padding_mode != "zeros":
            text += f", padding_mode={self._geometry.padding_mode}"
        if self._geometry.layout != "NCHW":
            text += f", layout={self._geometry.layout}"
        if self.chosen_algorithm != "direct" or self._algorithm != "auto":
            text += f", algorithm={self.chosen_algorithm}"
            text += " (auto)" * (self._algorithm == "auto")
        return text + ")"


def ask(choices):
    """Set the algorithms of layers, {layer: name}, and trace again what has changed.

    All names are checked before any is set. One that a layer has been asked for already leaves it
    as it is, and so what it has chosen.
    """
    for layer, name in choices.items():
        _algorithm(name, layer.geometry)
    with ONE_THREAD:
        choices = {layer: name for layer, name in choices.items() if name != layer.algorithm}
        before = {layer: layer.chosen_algorithm for layer in choices}
        for layer, name in choices.items():
            layer._algorithm = name
            layer._forget()
        trace_again(layer for layer in choices if layer.chosen_algorithm != before[layer])


def reshape(geometries):
    """Give layers other geometries, {layer: what its `changed` gave}, and trace again."""
    changed = {layer: new for layer, new in geometries.items() if new != layer.geometry}
    with ONE_THREAD:
        for layer, geometry in changed.items():
            layer._take(geometry)
        trace_again(changed)


def trace_again(layers):
    """Trace once more what has a graph with one of the layers in it."""
    with ONE_THREAD:
        holders = {}
        for layer in layers:
            holders.update(layer._traced_in)
        _graphs.trace_again(holders)


def geometry_of(layer):
    """The `ConvGeometry` of a `MultiChannelConv2D` or an `nn.Conv2D`."""
    if isinstance(layer, MultiChannelConv2D):
        return layer.geometry
    geometry = ConvGeometry.of_operator(layer._kwargs)
    return geometry.with_in_channels(_in_channels(geometry, layer.weight))


def _in_channels(geometry, weight):
    """The input channels that a weight has, or 0 while they are unknown (-1 in NumPy mode)."""
    return max(0, weight.shape[geometry.layout.index("C")]) * geometry.groups


def _algorithm(name, geometry):
    """An algorithm's name, which has to be known and for the geometry, as far as that is known."""
    _checks.choice("algorithm", name, NAMES)
    resolve(name, geometry.core)
    return name

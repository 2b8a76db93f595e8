"""`MultiChannelConv2D`: check the input, run the algorithm, apply the activation."""

from typing import Any, Dict, List, Mapping, Optional, Tuple
from weakref import WeakKeyDictionary

from mxnet import Context, MXNetError, autograd, cpu, current_context, nd, np, sym
from mxnet.gluon import ParameterDict, nn
from mxnet.util import is_np_array

from . import _checks, _gluon, _graphs, _layer_checks, _layouts, dtypes
from ._adjustable import FOUND_IN_CALLS, AdjustableConv2D, AutoChoice, in_channels_of
from .algorithms import ALGORITHMS, checked, resolve
from .algorithms.ops import pad
from .geometry import ConvGeometry, Padding, Size
from .selection import apply, switch
from .selection.rules import may_gain

PARAMS_TYPES = (type(None), ParameterDict)
ACTIVATIONS = (None, "relu", "sigmoid", "softrelu", "softsign", "tanh")


class MultiChannelConv2D(AdjustableConv2D):
    """The chapter's multi-channel convolution as a layer, a drop-in `gluon.nn.Conv2D`.

    With strides of 1 and no padding, it computes `corr2d_multi_in_out(x, weight)` for each example
    x, plus a bias per output channel [1]_. Arguments, parameter names and parameter files are those
    of `gluon.nn.Conv2D`. In addition it has more kinds of padding, `layout='NHWC'` on the CPU,
    `dtype` and `algorithm`.

    The input **x** has the shape (n, c_i, h, w) and is an `mx.nd` or `mx.np` array, or a Symbol.
    The output **y** has the shape (n, c_o, o_h, o_w) and is of the same kind as x;
    `ConvGeometry.output_shape` has the formula.

    Parameters
    ----------
    channels : int
        Number of output channels, c_o.
    kernel_size : int or pair of int
        Height and width of the kernel, in elements.
    strides : int or pair of int
        Rows and columns of the input from one output's window to the next.
    padding : int, pair of int, ((top, bottom), (left, right)), 'same' or 'valid'
        Rows and columns added around the input; see `ConvGeometry`.
    dilation : int or pair of int
        Rows and columns of the input from one element of the kernel to the next.
    groups : int
        Number of groups of channels, which are convolved separately. It divides c_i and c_o.
    layout : {'NCHW', 'NHWC'}
        Order of the axes of input and output. As in `nn.Conv2D`, the weight has the shape
        (c_o, c_i / groups, k_h, k_w) for NCHW and (c_o, k_h, k_w, c_i / groups) for NHWC.
    activation : {None, 'relu', 'sigmoid', 'softrelu', 'softsign', 'tanh'}
        Function applied to the output.
    use_bias : bool
        Whether to add a bias per output channel.
    weight_initializer, bias_initializer : str or Initializer
        As in all Gluon layers.
    in_channels : int
        Number of input channels, c_i; 0 to infer it from the first input.
    algorithm : 'auto' or one of `mxconv.algorithms.NAMES`
        How to compute the convolution. All algorithms agree up to rounding;
        `help(mxconv.algorithms)` lists them. 'native' is MXNet's operator, 'definition' runs the
        chapter's functions, and the others are faster for some geometries. 'auto' uses one of them
        where it is clearly faster, and 'native' elsewhere; see `chosen_algorithm`.
    padding_mode : {'zeros', 'reflect', 'edge', 'circular'}
        What the padding contains; see `ConvGeometry`.
    dtype : str or dtype
        Of parameters and input: 'float32', 'float64', 'float16' (on a GPU) or 'bfloat16' (on a CPU
        with AVX-512, for 'native', NCHW and even zero padding).
    prefix, params
        As in all Gluon blocks, but by keyword only.

    Raises
    ------
    ValueError, TypeError
        In the constructor, for an invalid or unknown argument. At a call, for an input that has the
        wrong rank, number of channels, dtype or context, or is smaller than the kernel.

    See Also
    --------
    convert : Makes the `nn.Conv2D` of an existing network layers of this class.
    choose_algorithms : Chooses the algorithms of a whole network.
    ConvGeometry : The shapes of a convolution.
    corr2d_multi_in_out : The chapter's function.

    Notes
    -----
    `strides`, `padding`, `dilation` and `algorithm` can be set on an existing layer; graphs of
    blocks above it are then traced again. A layer whose input has no known shape while a hybridized
    network is traced, such as the state of a loop, runs as 'native' in that graph.

    References
    ----------
    .. [1] A. Zhang, Z. C. Lipton, M. Li and A. J. Smola, *Dive into Deep Learning*, chapter
       "Multiple Input and Output Channels", MXNet Gluon edition, November 2018.

    Examples
    --------
    >>> layer = MultiChannelConv2D(4, kernel_size=3, padding=1, in_channels=2)
    >>> layer.initialize()
    >>> layer(nd.ones((1, 2, 5, 5))).shape
    (1, 4, 5, 5)
    """

    def __new__(cls, *arguments: Any, **given: Any) -> "MultiChannelConv2D":
        """Reject names from elsewhere before Python misses the argument that they stand for."""
        if cls.__init__ is MultiChannelConv2D.__init__:
            _layer_checks.no_arguments_from_elsewhere("MultiChannelConv2D", given)
        return super().__new__(cls)

    def __init__(
        self,
        channels: int,
        kernel_size: Size,
        strides: Size = (1, 1),
        padding: Padding = (0, 0),
        dilation: Size = (1, 1),
        groups: int = 1,
        layout: str = "NCHW",
        activation: Optional[str] = None,
        use_bias: bool = True,
        weight_initializer: Any = None,
        bias_initializer: Any = "zeros",
        in_channels: int = 0,
        algorithm: str = "auto",
        padding_mode: str = "zeros",
        dtype: Any = "float32",
        *,
        prefix: Optional[str] = None,
        params: Optional[ParameterDict] = None,
        **others: Any,
    ) -> None:
        _layer_checks.no_unknown_arguments("MultiChannelConv2D", others)
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
            _layer_checks.initializer("weight_initializer", weight_initializer),
            _layer_checks.initializer("bias_initializer", bias_initializer),
            geometry.in_channels,
            prefix=_checks.instance("prefix", prefix, (type(None), str), "None or a str"),
            params=_checks.instance(
                "params", params, PARAMS_TYPES, "None or a gluon.ParameterDict"
            ),
        )
        _gluon.operator_arguments(self)["pad"] = geometry.padding
        self._set_up(geometry, checked(algorithm, geometry))
        if dtype.name != "float32":
            self.cast(dtype)

    def forward(self, x: Any) -> Any:
        """Check x and convolve it; an `mx.np` array gives an `mx.np` array."""
        if isinstance(x, sym.Symbol):
            return super().forward(x)
        x, context = self._prepare(x)
        numpy = is_np_array() or isinstance(x, np.ndarray)
        x = x.as_nd_ndarray()
        if autograd.is_recording() and self._recorded_like is not self._last_checked:
            x = self._recorded(x)
        y = self._run(x, context)
        if self.weight.dtype == dtypes.BFLOAT16 and not autograd.is_training():
            y = y + 0  # in the plain layout: `astype` fails on the one that oneDNN leaves
        return y.as_np_ndarray() if numpy else y.as_nd_ndarray()

    def _run(self, x: nd.NDArray, context: Context) -> nd.NDArray:
        """Do what `HybridBlock.forward` does, without repeating the checks of `_prepare`."""
        if ALGORITHMS[self.chosen_algorithm].eager_inference_only:
            if not (autograd.is_recording() or autograd.is_training()):
                with autograd.train_mode():
                    return self._run(x, context)
        if not _gluon.is_hybridized(self):
            return self.hybrid_forward(nd, x, **_gluon.parameter_arrays(self, context))
        with apply.GRAPH_LOCK:
            if not _gluon.has_graph(self):
                return super().forward(x)
            return _gluon.run_graph(self, x, context)

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        """Convolve arrays (F is `mx.nd`) or trace Symbols (F is `mx.sym`)."""
        geometry = self.geometry
        x, weight = x.as_nd_ndarray(), weight.as_nd_ndarray()
        bias = None if bias is None else bias.as_nd_ndarray()
        if F is sym:
            x, geometry = self._traced(x, weight)
        normalized = geometry.normalized
        algorithm = ALGORITHMS[resolve(self.chosen_algorithm, normalized)]
        if self.weight.dtype == dtypes.BFLOAT16:
            _layer_checks.bfloat16(geometry, self.chosen_algorithm, self.contexts())
        if geometry.layout == "NHWC":
            x, weight = x.transpose((0, 3, 1, 2)), weight.transpose((0, 3, 1, 2))
        if geometry.needs_explicit_padding:
            x = pad(F, x, geometry.pads, geometry.padding_mode)
        y = algorithm.run(F, x, weight, bias, normalized)
        if geometry.layout == "NHWC":
            y = y.transpose((0, 2, 3, 1))
        if is_np_array():
            y = y.as_np_ndarray()
        return y if self.act is None else self.act(y)

    def _traced(self, x: sym.Symbol, weight: sym.Symbol) -> Tuple[sym.Symbol, ConvGeometry]:
        """Note which blocks are being traced, and let 'auto' choose for what they get.

        Returns
        -------
        Symbol
            x, or a copy of it if its gradient may be cut.
        ConvGeometry
            The layer's, with the input channels if the trace knows them.
        """
        holders, inputs = dict(_graphs.being_traced()), _graphs.inputs()
        geometry = self.geometry if self.native_only else self._choose_in_trace(x, inputs)
        self._holders.update(holders)
        apply.wait_for_training(self, holders)
        # Gluon keeps the Symbol, which may be older than what is known of its shape, or be from a
        # call that failed.
        shape = geometry.weight_shape if geometry.in_channels else self.weight.shape
        _gluon.set_symbol_shape(weight, shape)
        may_be_cut = not self.native_only and self._gradient_in_blocks(geometry)
        shapes = {name: array.shape for name, array in inputs.items()}
        copied = may_be_cut and _layouts.traced_after_concat(x, shapes)
        return (_layouts.plain(x) if copied else x), geometry

    def _choose_in_trace(self, x: sym.Symbol, inputs: Mapping[str, nd.NDArray]) -> ConvGeometry:
        """Let 'auto' choose for the inputs of the block being traced, by their Symbols' names.

        Return the geometry, with the input channels if they are known by now. The shape of x is
        inferred only where something depends on it, since that takes long in a deep network.
        """
        dtype = dtypes.as_dtype(self.weight.dtype)
        context = next((array.context for array in inputs.values()), self.contexts()[0])
        in_graph = _graphs.block_being_traced() is not self
        trace = _graphs.current_trace()
        has_chosen = self.has_chosen(dtype, context, in_graph)
        if not self.geometry.in_channels and trace is not self._chosen_in:
            has_chosen = False  # it was in a call that failed
        has_to_choose = self._algorithm == "auto" and not has_chosen
        if has_to_choose:
            needs_shape = may_gain(self.geometry.normalized, dtype, context)
        else:
            needs_shape = not self.geometry.in_channels and self.chosen_algorithm != "native"
        shape = _inferred_shape(x, inputs) if needs_shape else None
        if shape:
            self.geometry_for(shape).output_shape(shape)  # raises what doesn't fit
        if has_to_choose:
            training = autograd.is_recording()
            x_is = dict(input_shape=shape, dtype=dtype, context=context)
            apply.choose({self: dict(x_is, training=training, in_graph=in_graph)})
            self._chosen_in = trace
        elif autograd.is_recording() and self.waits_for_training:
            apply.choose_for_training([self])
        if not shape or self.chosen_algorithm == "native":  # whose graph is that of nn.Conv2D
            return self.geometry
        return self.geometry_for(shape)

    def _recorded(self, x: nd.NDArray) -> nd.NDArray:
        """Return x, or a copy if its gradient may be cut, after doing what recording requires.

        Later inputs like x are recorded at once, unless they have to be copied.
        """
        checked = self._last_checked
        if self.waits_for_training:
            apply.choose_for_training([self])
        if self._recorded_cut(x):
            return _layouts.plain(x)
        self._recorded_like = checked
        return x

    def _recorded_cut(self, x: nd.NDArray) -> bool:
        """Return whether a concatenation may cut the gradient of x, which is being recorded.

        Finding out is slow, so it happens once per shape, and once per algorithm: what precedes a
        layer rarely changes. Once the answer was yes, it stays for that algorithm.
        """
        asked, cut = self._after_concat
        now = (self._last_checked[1], self.chosen_algorithm)
        if asked != now and not (cut and asked[1] == now[1]):
            in_blocks = self._gradient_in_blocks(self.geometry)
            cut = in_blocks and _layouts.recorded_after_concat(x)
            self._after_concat = now, cut
        return cut

    def _gradient_in_blocks(self, geometry: ConvGeometry) -> bool:
        """Return whether oneDNN may keep the channels of x's gradient in blocks."""
        if geometry.layout != "NCHW" or geometry.needs_explicit_padding:
            return False
        plain = ALGORITHMS[self.chosen_algorithm].plain_gradient
        return not plain and _layouts.block_size(geometry.in_channels) > 1  # 0: unknown, may be

    def cast(self, dtype: Any) -> None:
        """Convert the parameters to a dtype that MXNet convolves, such as 'bfloat16'."""
        dtype = dtypes.as_dtype(dtype)
        if dtype == dtypes.BFLOAT16:
            for parameter in self.params.values():
                dtypes.draw_in_float32(parameter)
        super().cast(dtype)

    def infer_shape(self, x: Any) -> None:
        """Take the number of input channels from x, and finish deferred initialization."""
        self.weight.shape = self.geometry_for(x.shape).weight_shape
        for parameter in self.params.values():
            _gluon.finish_deferred_init(parameter)

    def contexts(self) -> List[Context]:
        """Return the parameters' contexts, or the current one while they aren't initialized."""
        try:
            return self.weight.list_ctx()
        except RuntimeError:
            return [current_context()]

    def _prepare(self, x: Any) -> Tuple[Any, Context]:
        """Return x and its context, after doing what the first input of its kind requires.

        That is to check x, so that nothing fails later, to finish deferred initialization, and to
        let 'auto' choose. An input like the last one is returned at once, as long as the weight's
        arrays are the same. An input in shared memory is returned on the CPU.
        """
        if type(x) not in _checks.ARRAY_TYPES:
            raise TypeError(
                "x has the wrong type: expected an mxnet.nd.NDArray, an mxnet.np.ndarray or a "
                f"Symbol, received {type(x).__module__}.{type(x).__name__}"
            )
        properties = _gluon.properties_of(x)
        arrays, last, context = self._last_checked
        if properties == last and arrays is _gluon.arrays_of(self.weight):
            if _gluon.operator_arguments(self) == self._known_arguments:
                return x, context
        shape, dtype, context = x.shape, x.dtype, x.context
        if context.device_type == "cpu_shared":  # from the worker processes of a DataLoader
            return self._prepare(x.as_in_context(cpu(context.device_id)))
        with apply.GRAPH_LOCK:
            _layer_checks.layer_input(shape, dtype, context, self.geometry, self.weight)
            if _gluon.has_deferred_parameters(self):
                self.infer_shape(x)
            if not self.native_only:
                if not self.has_chosen(dtype, context):
                    if self.choose_algorithm(shape, dtype, context, autograd.is_recording()):
                        _graphs.drop_graphs([self])
                    apply.wait_for_training(self, self.holders)
                self._last_checked = (_gluon.arrays_of(self.weight), properties, context)
        return x, context

    def __getstate__(self) -> Dict[str, Any]:
        """Return all but the graph, which can't be copied, and what depends on the network."""
        state = _gluon.state_without_graph(self)
        for name in ("_holders", *FOUND_IN_CALLS):
            state.pop(name, None)
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        _gluon.restore_state(self, {**state, "_holders": WeakKeyDictionary()})
        switch.register(self)

    def __repr__(self) -> str:
        text = super().__repr__()[:-1]
        if self._geometry.layout == "NHWC":  # Gluon shows axis 1 of the weight, the kernel's height
            _, height, _, c_i = self.weight.shape
            text = text.replace(f"({height} -> ", f"({c_i or None} -> ", 1)
        if self._geometry.padding_mode != "zeros":
            text += f", padding_mode={self._geometry.padding_mode}"
        if self._geometry.layout != "NCHW":
            text += f", layout={self._geometry.layout}"
        if self._algorithm != "auto":
            text += f", algorithm={self.chosen_algorithm}"
        elif self._auto_choice != AutoChoice():
            text += f", algorithm={self.chosen_algorithm} (auto: {self.chosen_because})"
        return text + ")"


def _inferred_shape(x: sym.Symbol, inputs: Mapping[str, nd.NDArray]) -> Optional[Tuple[int, ...]]:
    """Return the shape of a Symbol that depends on these inputs, or None if that isn't enough."""
    known = {name: inputs[name].shape for name in x.list_inputs() if name in inputs}
    try:
        _, shapes, _ = x.infer_shape_partial(**known)
    except MXNetError:  # shapes that don't fit, which the call itself will report
        return None
    shape: Tuple[int, ...] = shapes[0]
    unknown = not shape or len(shape) != 4 or min(shape) <= 0
    return None if unknown else shape


def geometry_of(layer: nn.Conv2D) -> ConvGeometry:
    """Return the `ConvGeometry` of a `MultiChannelConv2D` or an `nn.Conv2D`."""
    if isinstance(layer, MultiChannelConv2D):
        return layer.geometry
    geometry = ConvGeometry.from_op_attrs(_gluon.operator_arguments(layer))
    return geometry.with_in_channels(in_channels_of(geometry, layer.weight))

"""`MultiChannelConv2D`: check, run the algorithm, activate."""

import numpy as np
from mxnet import init, nd, sym
from mxnet.gluon import nn

from . import _checks
from .algorithms import ALGORITHMS, resolve
from .geometry import ConvGeometry

ACTIVATIONS = (None, "relu", "sigmoid", "softrelu", "softsign", "tanh")


class MultiChannelConv2D(nn.Conv2D):
    """The chapter's multi-channel convolution as a layer, in place of `gluon.nn.Conv2D`.

    With stride 1 and no padding it equals `corr2d_multi_in_out(x, weight)` for each example x, plus
    a bias per output channel; see *Dive into Deep Learning*, "Multiple Input and Output Channels".
    It is a `gluon.nn.Conv2D` with the same arguments, parameter names and files; `algorithm` is new.

    Parameters
    ----------
    channels : int
        Output channels, c_o.
    kernel_size : int or pair of int
        Height and width of the kernel, in elements.
    strides : int or pair of int
        Rows and columns from one output's window to the next.
    padding : int or pair of int
        Rows and columns of zeros put around the input, on each side.
    dilation : int or pair of int
        Rows and columns of the input from one tap of the kernel to the next.
    groups : int
        Groups of channels that are convolved apart from each other; c_i and c_o are multiples.
    layout : {'NCHW'}
        The order of the axes.
    activation : {None, 'relu', 'sigmoid', 'softrelu', 'softsign', 'tanh'}
        A function applied to every output.
    use_bias : bool
        Whether an element per output channel is added.
    weight_initializer, bias_initializer : str or Initializer
        As in every Gluon layer.
    in_channels : int
        Input channels, c_i; 0 to take them from the first input.
    algorithm : {'auto', 'direct', 'matmul', 'definition'}
        How to compute it; all give the same results up to rounding. 'direct' is MXNet's operator,
        'matmul' is im2col and a matrix product, 'definition' runs the chapter's functions. A layer
        that waits for its input channels inside a hybridized network is traced as 'direct'.
    prefix, params
        As in every Gluon block.

    Inputs
        **x** of shape (n, c_i, h, w), an NDArray or a Symbol.

    Outputs
        **y** of shape (n, c_o, o_h, o_w), o = floor((h + 2p - d (k - 1) - 1) / s) + 1 per axis.

    Raises
    ------
    ValueError, TypeError
        In the constructor for an argument that can't be; at the call for an input of another rank,
        number of channels, dtype or context, or smaller than the kernel.

    Examples
    --------
    >>> layer = MultiChannelConv2D(4, kernel_size=3, padding=1, in_channels=2)
    >>> layer.initialize()
    >>> layer(nd.ones((1, 2, 5, 5))).shape
    (1, 4, 5, 5)
    """

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
        **kwargs,
    ):
        geometry = ConvGeometry(
            channels=channels,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=groups,
            in_channels=in_channels,
            layout=layout,
        )
        super().__init__(
            geometry.channels,
            geometry.kernel_size,
            geometry.strides,
            geometry.padding,
            geometry.dilation,
            geometry.groups,
            layout,
            _checks.choice("activation", activation, ACTIVATIONS),
            use_bias,
            _initializer("weight_initializer", weight_initializer),
            _initializer("bias_initializer", bias_initializer),
            geometry.in_channels,
            **kwargs,
        )
        self._geometry = geometry
        self._algorithm = _checks.choice("algorithm", algorithm, ("auto", *ALGORITHMS))

    @property
    def algorithm(self):
        """The algorithm that was asked for."""
        return self._algorithm

    @property
    def geometry(self):
        """The layer's `ConvGeometry`, with the input channels that its weight has by now."""
        c_i = self.weight.shape[1] * self._geometry.groups
        if c_i != self._geometry.in_channels:
            self._geometry = self._geometry.with_in_channels(c_i)
        return self._geometry

    def forward(self, x):
        """Check x and convolve it."""
        if not isinstance(x, sym.Symbol):
            self._check(x)
        return super().forward(x)

    def hybrid_forward(self, F, x, weight, bias=None):
        """Convolve arrays (F is `mx.nd`) or trace symbols (F is `mx.sym`)."""
        geometry = self.geometry
        y = resolve(self._algorithm, geometry)(F, x, weight, bias, geometry)
        return y if self.act is None else self.act(y)

    def _check(self, x):
        """Refuse an input that MXNet would only stumble over later; fix deferred channels."""
        shape = _checks.ndarray("the input", x).shape
        self.geometry.output_shape(shape)
        if x.dtype != np.dtype(self.weight.dtype):
            raise TypeError(
                f"expected an input of the parameters' dtype {np.dtype(self.weight.dtype)}, received "
                f"{np.dtype(x.dtype)}: convert with x.astype(...), or the layer with layer.cast(...)"
            )
        if not _checks.has_matrix_product(x.dtype, x.context):
            raise TypeError(
                f"MXNet convolves float32 and float64, and float16 on a GPU; received an input of "
                f"{np.dtype(x.dtype)} on {x.context}"
            )
        contexts = self.weight.list_ctx()
        if x.context not in contexts:
            raise ValueError(
                f"expected an input on the parameters' context, one of {contexts}, received one on "
                f"{x.context}: move it with x.as_in_context(...), or the layer with "
                "layer.collect_params().reset_ctx(...)"
            )
        if not self.geometry.in_channels:
            self.infer_shape(x)

    def infer_shape(self, x):
        """Take the number of input channels from x, and finish a deferred initialization."""
        self.weight.shape = self.geometry.with_in_channels(x.shape[1]).weight_shape
        for parameter in self.params.values():
            parameter._finish_deferred_init()

    def __repr__(self):
        text = super().__repr__()
        return text if self._algorithm == "auto" else f"{text[:-1]}, algorithm={self._algorithm})"


def _initializer(name, value):
    """An initializer, or the name of one that MXNet knows."""
    if isinstance(value, str):
        try:
            init.create(value)
        except Exception as error:
            raise ValueError(f"{name} is unknown to MXNet, received {name}={value!r}") from error
    elif not (value is None or isinstance(value, init.Initializer)):
        raise TypeError(
            f"{name} has the wrong type: expected None, a name or an Initializer, received "
            f"{name}={value!r}"
        )
    return value

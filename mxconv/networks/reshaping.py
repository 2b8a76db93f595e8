"""Changing strides, padding and dilation of a network's layers while the weights stay."""

from typing import Any

from mxnet.gluon import Block

from ..selection import apply
from .traversal import Where, matching_layers


def set_geometry(
    net: Block,
    where: Where = None,
    strides: Any = None,
    padding: Any = None,
    dilation: Any = None,
) -> Block:
    """Change strides, padding or dilation of every `MultiChannelConv2D` in a network, or of some.

    Weights, kernel sizes, channels and groups stay. A backbone for segmentation keeps its
    resolution this way [1]_: with a stride of 1 instead of 2, and a dilation of 2 in the layers
    after it, it computes the same outputs and those in between.

    Graphs that contain a changed layer are retraced.

    Parameters
    ----------
    net : gluon.Block
        A network or a lone layer.
    where : None, str or callable
        Which layers, as in `set_algorithm`.
    strides, padding, dilation
        As in `MultiChannelConv2D`; None keeps what a layer has. 'same' refers to the new dilation.

    Returns
    -------
    gluon.Block
        net.

    Raises
    ------
    TypeError
        If net isn't a Block, where is none of the above, or a value isn't an integer.
    ValueError
        If the network has no such layers, where selects none, a value is out of range, or a layer's
        algorithm doesn't support its new geometry. Nothing is changed then.

    See Also
    --------
    MultiChannelConv2D : The layer; its `strides`, `padding` and `dilation` can be set directly.
    set_algorithm : Request an algorithm from the same kinds of selections.

    References
    ----------
    .. [1] L.-C. Chen, G. Papandreou, F. Schroff, H. Adam, "Rethinking Atrous Convolution for
       Semantic Image Segmentation" (2017), arXiv:1706.05587.

    Examples
    --------
    >>> net = nn.HybridSequential()
    >>> net.add(MultiChannelConv2D(8, 3, strides=2, padding=1), MultiChannelConv2D(8, 3, padding=1))
    >>> net = set_geometry(net, where=lambda layer: layer is net[0], strides=1)
    >>> net = set_geometry(net, where=lambda layer: layer is net[1], padding="same", dilation=2)
    >>> [(layer.strides, layer.padding, layer.dilation) for layer in net]
    [((1, 1), (1, 1), (1, 1)), ((1, 1), (2, 2), (2, 2))]
    """
    given = dict(strides=strides, padding=padding, dilation=dilation)
    changes = {name: value for name, value in given.items() if value is not None}
    geometries = {}
    for layer in matching_layers(net, where):
        try:
            geometries[layer] = layer.changed(**changes)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{layer.name}: {error}; the network was left as it was") from error
    apply.reshape(geometries)
    return net

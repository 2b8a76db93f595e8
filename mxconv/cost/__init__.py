"""What a convolution, or a network of them, costs: the chapter's second to fourth exercise."""

from mxnet.gluon import Block, nn

from .. import _checks
from ..geometry import ConvGeometry
from .convolution import convolution_cost, layer_cost
from .network import network_cost


def cost(layer, input_shape):
    """The multiplications, additions and memory of a convolution, or of a whole Gluon network.

    A pure function of shapes: nothing is computed, the layer needs no initialised parameters, and
    one that waits for its input channels takes them from `input_shape` and stays as it is.

    **What is counted.** The operations of the formula, whatever algorithm computes it. A
    multiplication and an addition are two operations, and a sum of t products takes t
    multiplications and t - 1 additions. Zeros of the padding are multiplied and added like other
    elements. With N examples, g groups, F = (c_i / g) k_h k_w products in an output and
    n = N c_o o_h o_w outputs:

    ===============  ===============  =====================
    part             multiplications  additions
    ===============  ===============  =====================
    forward          n F              n (F - 1)
    ... its bias     0                n
    backward.data    n F              n F - N c_i r_h r_w
    backward.weight  n F              c_o F (N o_h o_w - 1)
    backward.bias    0                c_o (N o_h o_w - 1)
    ===============  ===============  =====================

    `backward.data` is the gradient to the padded input: each product of the forward pass returns
    one to it, and r_h r_w is the number of its pixels that some window meets, each of them a sum in
    every channel. Cutting the padding off again isn't counted, nor adding up the gradients of
    mirrored or repeated padding, nor an activation. ('definition' does more than the formula: it
    computes the outputs of stride 1, and multiplies the zeros in a dilated kernel.)

    Parameters
    ----------
    layer : ConvGeometry, MultiChannelConv2D, gluon.nn.Conv2D or any gluon.Block
        A geometry is counted without bias and as algorithm 'direct'. A network is traced with a
        Symbol, so its blocks have to be HybridBlocks, or Blocks that do no more than call such.
    input_shape : tuple of int, or tuple of those
        (N, c_i, h, w), or the layout's order. A network takes the shape that its first layer does
        or, if it has several inputs, a tuple with the shape of each; a list of inputs has a list.

    Returns
    -------
    ConvolutionCost
        For one convolution: `.forward`, `.backward`, `.memory`, in operations and elements.
    NetworkCost
        For any other block: `.forward`, `.backward` and `.parameters` in all; `.layers`, a cost for
        each use of a convolution or a fully connected layer; `.not_counted`, all other operators.
        Fully connected is counted as the 1x1 convolution that the chapter shows it to be. `str()`
        gives a table, `.rows()` the same for a program.

    Raises
    ------
    TypeError
        Something that is neither a geometry nor a block, or a network that can't be traced.
    ValueError
        An input shape that the convolution or the network can't take.

    Examples
    --------
    >>> cell_5 = cost(ConvGeometry(channels=3, kernel_size=2), (1, 2, 3, 3))
    >>> cell_5.forward.multiplications, cell_5.forward.additions
    (96, 84)
    """
    kinds = (ConvGeometry, Block)
    _checks.instance("layer", layer, kinds, "a ConvGeometry, a convolution or another gluon.Block")
    if isinstance(layer, ConvGeometry):
        return convolution_cost(layer, _checks.input_shape(input_shape))
    if isinstance(layer, nn.Conv2D):
        return layer_cost(layer, _checks.input_shape(input_shape))
    return network_cost(layer, _checks.input_shapes(input_shape))

"""The function that counts, for whatever it is given: a geometry, a convolution or a network."""

from typing import Any, Union

from mxnet.gluon import Block, nn

from ... import _checks
from ...geometry import ConvGeometry
from .convolution import ConvolutionCost, convolution_cost, layer_cost
from .network import NetworkCost, network_cost


def count_cost(layer: Any, input_shape: Any) -> Union[ConvolutionCost, NetworkCost]:
    """Count the operations (FLOPs, MACs), memory and parameters of a convolution or a network.

    The counts depend on shapes only. Nothing is computed, and parameters needn't be initialized. A
    layer with deferred input channels takes their number from `input_shape`, without being changed.
    Print the result to see a table.

    Parameters
    ----------
    layer : ConvGeometry, MultiChannelConv2D, gluon.nn.Conv2D or any other gluon.Block
        A geometry is counted without bias and with the algorithm 'native'. A network is traced with
        a Symbol, so it has to consist of HybridBlocks, or of Blocks that only call HybridBlocks.
    input_shape : tuple of int, or tuple of such tuples
        (N, c_i, h, w), or the order of the layer's layout. A network takes the shape of its input
        or, if it has several inputs, a tuple of their shapes; an input that is a list of arrays has
        a list of shapes.

    Returns
    -------
    ConvolutionCost
        For one convolution: `forward`, `backward` and `memory`, in operations and elements.
    NetworkCost
        For any other block: the totals `forward`, `backward` and `parameters`; `layers`, the cost
        of each use of a convolution or a fully connected layer; and `not_counted`, all other
        operators. `rows()` has the costs of the layers as dicts. A fully connected layer is counted
        as the equivalent 1x1 convolution, which the chapter describes.

    Raises
    ------
    TypeError
        If `layer` is neither a geometry nor a block, or is a network that can't be traced.
    ValueError
        If the convolution or the network can't take an input of this shape.

    See Also
    --------
    mxconv.choose_algorithms : Which algorithm is fastest, predicted or measured.

    Notes
    -----
    **FLOPs and MACs.** A multiply-accumulate (MAC) is one multiplication and one addition, so
    ``forward.multiplications`` is the number of MACs. Many papers call that number FLOPs, as He et
    al. do for ResNet. Counted one by one, the floating-point operations are about twice as many:
    ``forward.multiplications + forward.additions + forward.bias_additions``.

    **What is counted.** The operations in the definition, whichever algorithm runs. A sum of t
    products takes t multiplications and t - 1 additions. Zeros of the padding count like any other
    element. With N examples, g groups, F = (c_i / g) k_h k_w products per output and
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

    `backward.data` is the gradient with respect to the padded input. Each product of the forward
    pass adds one product to it, and each of the r_h r_w pixels that lie in some window is a sum, in
    every channel.

    **What isn't counted.** Cropping the padding off that gradient, summing the gradients of
    reflected or repeated padding, and activations. The algorithm 'definition' does more than the
    definition asks for: it computes all outputs of stride 1, and multiplies by the zeros in a
    dilated kernel.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition",
    arXiv:1512.03385, section 3.3: FLOPs as multiply-adds.

    Examples
    --------
    >>> cell_5 = count_cost(ConvGeometry(channels=3, kernel_size=2), (1, 2, 3, 3))
    >>> cell_5.forward.multiplications, cell_5.forward.additions
    (96, 84)
    >>> print(cell_5)
    (1, 2, 3, 3) -> (1, 3, 2, 2), algorithm 'native'
    <BLANKLINE>
    operations  multiplications  additions  bias additions
    forward                  96         84               0
    backward                192        150               0
      data                   96         78               0
      weight                 96         72               0
      bias                    0          0               0
    <BLANKLINE>
    elements          forward  saved  gradients
    input                  18     18         18
    weight                 24     24         24
    output                 12      0         12
    total                  54     42         54
    bytes in float32      216    168        216
    """
    kinds = (ConvGeometry, Block)
    _checks.instance("layer", layer, kinds, "a ConvGeometry, a convolution or another gluon.Block")
    if isinstance(layer, ConvGeometry):
        return convolution_cost(layer, _checks.input_shape(input_shape))
    if isinstance(layer, nn.Conv2D):
        return layer_cost(layer, _checks.input_shape(input_shape))
    return network_cost(layer, _checks.input_shapes(input_shape))

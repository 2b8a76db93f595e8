"""Ways to compute the same convolution, one module each.

Every algorithm is a function `(F, x, weight, bias, geometry)`, where F is `mx.nd` or `mx.sym` as in
a `HybridBlock`, and equals the chapter's functions in value and in gradients.
"""

from .definition import definition
from .direct import direct
from .matmul import matmul

ALGORITHMS = {"direct": direct, "matmul": matmul, "definition": definition}


def resolve(algorithm, geometry):
    """The function for the name `algorithm`, where 'auto' leaves the choice to mxconv.

    A hybridized network is traced before the input channels of its layers are known; a layer that
    waits for them is traced as 'direct', which MXNet can infer the shapes of.
    """
    if algorithm == "auto" or not geometry.in_channels:
        return direct
    return ALGORITHMS[algorithm]

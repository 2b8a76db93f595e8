"""The chapter's six exercises, answered by functions.

1. Two convolutions in a row equal one: `merge_convolutions`. The converse: `factor_kernel_1d` where
   it holds, and `expand_kernel`, which always works but needs more channels.
2. The cost of a convolution, forward and backward, in operations and memory: `count_cost`.
3. How that cost grows with the channels and the padding, and
4. what it is for a 1x1 kernel: the same function, for other shapes.
5. Whether Y1 and Y2 are exactly equal: `rounding_error_bound`.
6. A convolution as a matrix product: `convolution_matrix`, and the algorithm 'im2col'.

docs/exercises.md has the answers with their proofs.
"""

from .composition import merge_convolutions
from .cost import count_cost
from .factorization import expand_kernel, factor_kernel_1d
from .matrix import convolution_matrix
from .rounding import rounding_error_bound

__all__ = [
    "convolution_matrix",
    "count_cost",
    "expand_kernel",
    "factor_kernel_1d",
    "merge_convolutions",
    "rounding_error_bound",
]

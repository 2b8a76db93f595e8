"""The cost of a convolution, or of a network of them: the chapter's second to fourth exercises.

`count_cost` is the function to call; the classes are what it returns.
"""

from .convolution import Backward, ConvolutionCost, Operations
from .count import count_cost
from .memory import ArrayCounts, MemoryCost
from .network import LayerCost, NetworkCost, NotCounted

__all__ = [
    "ArrayCounts",
    "Backward",
    "ConvolutionCost",
    "LayerCost",
    "MemoryCost",
    "NetworkCost",
    "NotCounted",
    "Operations",
    "count_cost",
]

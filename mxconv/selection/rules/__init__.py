"""What 'auto' chooses: one rule per kind of CPU, each in a module with its evidence.

To add a kind of CPU, write a module with a function `predict(geometry, input_shape)`, and list it
in `RULES` with a function that tells whether the machine has such a CPU. `avx512` shows how a rule
is drawn from measurements.
"""

from typing import Any, Callable, Tuple

import numpy as np
from mxnet import Context

from ..._cpuinfo import has_avx512
from ...geometry import ConvGeometry
from . import avx512

Rule = Callable[[ConvGeometry, Tuple[int, ...]], str]

RULES: Tuple[Tuple[Callable[[], bool], Rule], ...] = (  # the first whose CPU this is applies
    (has_avx512, avx512.predict),
)


def predict(
    geometry: ConvGeometry, input_shape: Tuple[int, ...], dtype: Any, context: Context
) -> str:
    """Return the name of the algorithm that 'auto' chooses.

    It is 'native' for any dtype but float32, on a GPU, and on CPUs without a rule.

    Parameters
    ----------
    geometry : ConvGeometry
        A normalized geometry, with known input channels.
    input_shape : tuple of int
        (n, c_i, h, w), for the normalized geometry.
    dtype : dtype
        The dtype of the input and the parameters.
    context : Context
        The device of the input and the parameters.
    """
    if dtype == np.float32 and context.device_type != "gpu":
        for is_here, rule in RULES:
            if is_here():
                return rule(geometry, input_shape)
    return "native"

"""What 'auto' chooses: one rule per kind of CPU, each in a module with its evidence.

A rule is a list of questions, one per algorithm, with limits from measurements; see `questions`. To
add a kind of CPU, write a module with its `RULE`, and list it in `RULES`; `avx512` says how.
"""

from typing import Any, Iterator, Optional, Tuple

import numpy as np
from mxnet import Context

from ... import dtypes
from ...algorithms import ALGORITHMS
from ...geometry import ConvGeometry
from . import avx2, avx512
from .questions import Question, Rule, Work

RULES: Tuple[Rule, ...] = (avx512.RULE, avx2.RULE)  # the first whose CPU this is applies


def rule_here() -> Optional[Rule]:
    """Return the rule for this CPU, or None."""
    return next((rule for rule in RULES if rule.is_here()), None)


def rule_name() -> str:
    """Return the name of the kind of CPU that the rule here is for."""
    rule = rule_here()
    return rule.cpu if rule else "no CPU"


def obstacle(dtype: Any, context: Context) -> Optional[str]:
    """Return in a few words why no rule applies to arrays of a dtype on a device, or None."""
    if dtype != np.float32:
        return f"no rule for {dtypes.name_of(dtype)}"
    if context.device_type == "gpu":
        return "no rule for GPUs"
    return None if rule_here() else "no rule for this CPU"


def verdict(algorithm: str) -> str:
    """Return in a few words what it means that the rule for this CPU chose an algorithm."""
    found = "nothing faster" if algorithm == "native" else "faster"
    return f"{found} by the rule for {rule_name()}"


def predict(
    geometry: ConvGeometry,
    input_shape: Tuple[int, ...],
    dtype: Any,
    context: Context,
    training: bool = False,
    in_graph: bool = False,
    constant: bool = False,
) -> str:
    """Return the name of the algorithm that 'auto' chooses; without a rule, that is 'native'.

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
    training : bool
        Whether calls are recorded to compute gradients.
    in_graph : bool
        Whether the convolution is part of the graph of a network.
    constant : bool
        Whether its weight is constant, so that it is rearranged only once.
    """
    work = Work.of(geometry, input_shape, training, constant)
    return next(
        (
            question.algorithm
            for question in _questions(dtype, context, in_graph)
            if question.suits(geometry) and question.pays(geometry, work)
        ),
        "native",
    )


def may_gain(geometry: ConvGeometry, dtype: Any, context: Context) -> bool:
    """Return whether `predict` may have another answer than 'native' for some input in a graph.

    With unknown input channels it may, except for a 1x1 kernel.
    """
    if not geometry.in_channels and not geometry.pointwise:
        return not obstacle(dtype, context)
    return any(question.suits(geometry) for question in _questions(dtype, context, in_graph=True))


def _questions(dtype: Any, context: Context, in_graph: bool) -> Iterator[Question]:
    """Yield the questions that apply."""
    rule = None if obstacle(dtype, context) else rule_here()
    for question in rule.questions if rule else ():
        if not (in_graph and ALGORITHMS[question.algorithm].eager_inference_only):
            yield question

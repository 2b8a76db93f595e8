"""A plan in a small readable file, so that nothing has to be measured where the network runs."""

import json
import warnings
from typing import Any, Dict, Iterable

from .. import _paths
from .._tables import x_joined
from ..algorithms import NAMES, unsupported
from .convolutions import Task
from .plans import Plan

FLAGS = ("folded", "widened", "fused")


def save(path: Any, plan: Plan, tasks: Iterable[Task], machine: str) -> None:
    """Write a plan, for a network with these convolutions, to a file that `load` reads."""
    convolutions = [
        {
            **_key(task),
            "algorithm": plan.algorithms.get(task, "native"),
            "apart": task in plan.apart,
        }
        for task in dict.fromkeys(tasks)
    ]
    flags = {name: getattr(plan, name) for name in FLAGS}
    content = {"machine": machine, **flags, "convolutions": convolutions}
    _paths.write(path, (json.dumps(content, indent=2) + "\n").encode())


def warn_elsewhere(path: Any, machine: str) -> None:
    """Warn if a file comes from another machine, or from another number of threads."""
    saved = _content(path).get("machine")
    if saved != machine:
        warnings.warn(
            f"the choices in {str(path)!r} were made on {saved}, and this is {machine}: they are "
            "right here too, but others may be faster",
            stacklevel=5,
        )


def load_flags(path: Any) -> Plan:
    """Return what a file says about the network as a whole: a plan without its convolutions."""
    content = _content(path)
    folded, widened, fused = (bool(content[name]) for name in FLAGS)
    return Plan(folded, widened, fused=fused)


def load_convolutions(path: Any, plan: Plan, tasks: Iterable[Task]) -> Plan:
    """Return a plan with what a file says about the convolutions of a network.

    Raises
    ------
    ValueError
        If the file has a convolution that isn't among the tasks, or an algorithm that is unknown or
        doesn't support it.
    """
    by_key = {json.dumps(_key(task), sort_keys=True): task for task in tasks}
    algorithms, apart = {}, set()
    for item in _content(path)["convolutions"]:
        name, is_apart = item.pop("algorithm"), item.pop("apart")
        task = by_key.get(json.dumps(item, sort_keys=True))
        if task is None:
            raise ValueError(
                f"{str(path)!r} is for another network, another input shape or another kind of "
                f"CPU: expected a convolution of this network, received {item}"
            )
        if name not in NAMES or unsupported(name, task.geometry):
            raise ValueError(
                f"{str(path)!r}: expected an algorithm that supports {task.geometry}, received "
                f"{name!r}"
            )
        if name != "native":
            algorithms[task] = name
        if is_apart:
            apart.add(task)
    return Plan(plan.folded, plan.widened, algorithms, plan.fused, frozenset(apart))


def _content(path: Any) -> Dict[str, Any]:
    """Return what is in a file that `save` has written."""
    path = _paths.as_path(path)
    try:
        content: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name in FLAGS:
            content[name] + 0  # an int or a bool
        for item in content["convolutions"]:
            item["algorithm"], item["apart"] + 0, item["geometry"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"expected a file that for_inference has saved, received {str(path)!r}: {error!r}"
        ) from error
    return content


def _key(task: Task) -> Dict[str, Any]:
    """Return what a task is, as JSON can hold it."""
    return {
        "geometry": str(task.geometry),
        "input_shape": x_joined(task.input_shape),
        "bias": task.has_bias,
        "activation": json.loads(json.dumps(task.activation)),
    }

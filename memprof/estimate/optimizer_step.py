"""What an optimizer's step holds for a moment, over the state it keeps."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final, NamedTuple

from memprof.estimate.dtypes import ITEMSIZE
from memprof.estimate.optimizer import OptimizerSpec, Options, ParameterGroup
from memprof.estimate.result import Estimate, not_estimated


class _Copies(NamedTuple):
    """How many copies of parameters a step holds at once.

    Attributes:
        current: by the for-loop, of the parameter at hand.
        previous: by the for-loop, of the one before it, whose variables are not yet replaced.
        every: by foreach, of all parameters.
    """

    current: int
    previous: int
    every: int


_COPIES: Final = {
    "SGD": _Copies(0, 0, 0),
    "Adam": _Copies(2, 1, 1),
    "AdamW": _Copies(2, 1, 1),
    "NAdam": _Copies(2, 1, 1),
    "RAdam": _Copies(2, 0, 1),
    "Adamax": _Copies(1, 0, 1),
    "Adadelta": _Copies(2, 1, 2),
    "Adagrad": _Copies(1, 1, 2),
    "RMSprop": _Copies(1, 1, 1),
    "Rprop": _Copies(3, 0, 1),
    "ASGD": _Copies(0, 0, 1),
    "Adafactor": _Copies(1, 1, 1),
}
_ASSUMED: Final = ("neither maximize nor capturable nor differentiable is set",)


def step_transient(optimizer: OptimizerSpec) -> Estimate:
    """The most bytes that one step holds on top of weights, gradients and state."""
    if not optimizer.module.startswith("torch.optim"):
        return not_estimated(f"{optimizer.module}.{optimizer.name} is not an optimizer of PyTorch")
    if optimizer.name == "Muon":
        return _muon(optimizer)
    if optimizer.name not in _COPIES:
        return not_estimated(f"no formula for the step of {optimizer.name}")
    parts = [_group(optimizer.name, group) for group in optimizer.groups if group.parameters]
    if not parts:
        return Estimate(0, "nothing to update")
    return max(parts, key=lambda part: part.bytes or 0)


def implementation(name: str, group: ParameterGroup) -> str:
    """The code that updates a group: "fused", "foreach" or "for-loop"."""
    options = group.options
    if options.get("fused"):
        return "fused"
    chosen = options.get("foreach")
    if chosen is None:
        on_host = all(place.startswith("cpu") for _, _, place in group.parameters)
        chosen = name != "Adafactor" and not on_host
    return "foreach" if chosen else "for-loop"


def _group(name: str, group: ParameterGroup) -> Estimate:
    how = implementation(name, group)
    sizes = [math.prod(shape) * ITEMSIZE[dtype] for shape, dtype, _ in group.parameters]
    if how == "fused":
        return Estimate(0, f"{name}, fused: everything in place", _ASSUMED)
    copies = _copies(name, group.options)
    if how == "foreach":
        noun = "copy" if copies.every == 1 else "copies"
        text = f"{name}, foreach: {copies.every} {noun} of all {len(sizes)} parameters"
        return Estimate(copies.every * sum(sizes) + _signs(name, group), text, _ASSUMED)
    pairs = pairwise([0, *sizes])
    highest = max(copies.previous * last + copies.current * now for last, now in pairs)
    text = f"{name}, for-loop: {copies.current} copies of one parameter"
    if copies.previous:
        text += f" and {copies.previous} of the one before"
    return Estimate(highest, text, _ASSUMED)


def _signs(name: str, group: ParameterGroup) -> int:
    """Rprop turns signs into factors by a mask and a copy, one parameter at a time."""
    if name != "Rprop":
        return 0
    return max(math.prod(shape) * (ITEMSIZE[dtype] + 1) for shape, dtype, _ in group.parameters)


def _copies(name: str, options: Options) -> _Copies:
    copies = _COPIES[name]
    if name == "SGD":
        decays, nesterov = bool(options.get("weight_decay")), bool(options.get("nesterov"))
        return _Copies(int(decays) + int(nesterov), 0, int(decays))
    if name == "Adam" and options.get("weight_decay") and not options.get("decoupled_weight_decay"):
        return copies._replace(current=copies.current + 1)
    return copies


def _muon(optimizer: OptimizerSpec) -> Estimate:
    """Newton-Schulz on one matrix: the update, two bfloat16 copies, two bfloat16 Gram matrices."""
    highest = 0
    for group in optimizer.groups:
        for shape, dtype, _ in group.parameters:
            elements, side = math.prod(shape), min(shape)
            highest = max(highest, elements * (ITEMSIZE[dtype] + 4) + 4 * side**2)
    return Estimate(highest, "Muon: the update, 2 copies and 2 Gram matrices of one parameter")

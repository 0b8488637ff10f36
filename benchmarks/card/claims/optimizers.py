"""What PyTorch's optimizers keep, and what a step needs for a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, optim

from .claim import Bench, Claim, Seen, compared

COUNT, SIDE = 4, 64
Make = Callable[[list[Tensor]], optim.Optimizer]
#: State and momentary bytes a parameter, as multiples of the parameter's own bytes.
WAYS: Mapping[str, tuple[Make, float, float]] = {
    "SGD": (partial(optim.SGD, foreach=True), 0, 0),
    "SGD, momentum": (partial(optim.SGD, momentum=0.9, foreach=True), 1, 0),
    "SGD, momentum and decay": (
        partial(optim.SGD, momentum=0.9, weight_decay=0.1, foreach=True),
        1,
        1,
    ),
    "AdamW, foreach": (partial(optim.AdamW, foreach=True), 2, 1),
    "AdamW, fused": (partial(optim.AdamW, fused=True), 2, 0),
    "AdamW, loop": (partial(optim.AdamW, foreach=False), 2, 3 / COUNT),
    "AMSGrad, foreach": (partial(optim.AdamW, amsgrad=True, foreach=True), 3, 1),
    "RMSprop, foreach": (partial(optim.RMSprop, foreach=True), 1, 1),
    "Adagrad, foreach": (partial(optim.Adagrad, foreach=True), 1, 2),
}


def a_step_needs_memory_for_a_moment(bench: Bench) -> Seen:
    """State and momentary bytes of a step, as multiples of the parameters' bytes."""
    expected, seen = {}, {}
    for dtype in (torch.float32, torch.bfloat16):
        for name, (make, state, moment) in WAYS.items():
            case = f"{name}, {dtype}".replace("torch.", "")
            expected |= {f"{case}: state": state, f"{case}: moment": moment}
            kept, peak = _stepped(bench, make, dtype)
            seen |= {f"{case}: state": kept, f"{case}: moment": peak}
    return compared(expected, seen, within=0.02)


def muon_orthogonalises_one_matrix_at_a_time(bench: Bench) -> Seen:
    """Muon needs the update, two bfloat16 copies and two Gram matrices of one parameter."""
    seen = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        _, moment = _stepped(bench, optim.Muon, dtype)
        seen[name] = moment * COUNT * dtype.itemsize
    return compared({"float32": 4 + 8, "bfloat16": 2 + 8}, seen, within=0.02)


def _stepped(bench: Bench, make: Make, dtype: torch.dtype) -> tuple[float, float]:
    """State and peak of a second step, over the bytes of all parameters."""
    size = {"dtype": dtype, "device": bench.device}
    parameters = [torch.ones(SIDE, SIDE, **size, requires_grad=True) for _ in range(COUNT)]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer = make(parameters)
    moved = bench.moved(optimizer.step)
    held = sum(
        value.nbytes
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor) and value.numel() > 1
    )
    total = sum(parameter.nbytes for parameter in parameters)
    return held / total, moved.peak / total


_TABLE = "memprof estimate: optimizers, measured on the CPU until now"
CLAIMS = (
    Claim(a_step_needs_memory_for_a_moment, _TABLE, False),
    Claim(muon_orthogonalises_one_matrix_at_a_time, _TABLE, False),
)

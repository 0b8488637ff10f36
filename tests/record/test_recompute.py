"""Checkpointed code that runs again in backward: one phase for each part, whatever runs in it."""

from collections.abc import Callable

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import memprof
from memprof.trace import CATEGORIES, Trace


def block(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """No module at all: nothing but operations."""
    return torch.tanh(torch.sin(x @ weight) * 2) + x


class Block(torch.nn.Module):
    """Calls modules, and operates between the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(64, 64, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.inner(x) * 2) + x


def recomputed(trace: Trace) -> list[int]:
    names = [trace.strings[name] for name in trace.phases.name]
    return [number for number, name in enumerate(names) if name == "recompute"]


def run(parts: list[Callable[[torch.Tensor], torch.Tensor]]) -> Trace:
    x = torch.rand(8, 64, requires_grad=True)
    with memprof.trace(detail="ops") as traced:
        y = x
        for part in parts:
            y = checkpoint(part, y, use_reentrant=False)
        y.sum().backward()
    return traced.trace


@pytest.mark.parametrize("kind", ["function", "module"])
def test_one_phase_for_each_checkpointed_part(kind: str) -> None:
    weight = torch.rand(64, 64, requires_grad=True)
    parts: list[Callable[[torch.Tensor], torch.Tensor]] = (
        [lambda x: block(x, weight)] * 3 if kind == "function" else [Block(), Block(), Block()]
    )
    trace = run(parts)
    phases = recomputed(trace)
    assert len(phases) == 3
    for phase in phases:
        parent = trace.strings[trace.phases.name[trace.phases.parent[phase]]]
        assert parent == "backward"
        assert trace.phases.end_ns[phase] > 0
        ops = trace.allocations.op[trace.allocations.phase == phase]
        assert "aten.tanh.default" in {trace.strings[op] for op in ops}


def test_what_recomputation_keeps_are_activations() -> None:
    with memprof.trace(detail="ops") as traced:
        x = torch.rand(8, 64, requires_grad=True)
        checkpoint(Block(), x, use_reentrant=False).sum().backward()
    trace = traced.trace
    (phase,) = recomputed(trace)
    born = trace.allocations.phase == phase
    tanh = born & (trace.allocations.op == trace.strings.index("aten.tanh.default"))
    categories = traced.analysis.attribution.category[tanh]
    assert [CATEGORIES[number] for number in categories] == ["activations"]


def test_nothing_is_left_wrapped() -> None:
    def wrapped() -> list[object]:
        hook = torch.utils.checkpoint._recomputation_hook
        frame = torch.utils.checkpoint._CheckpointFrame
        return [hook.__enter__, frame.check_recomputed_tensors_match]

    before = wrapped()
    with memprof.trace(detail="ops"):
        assert wrapped() != before
    assert wrapped() == before

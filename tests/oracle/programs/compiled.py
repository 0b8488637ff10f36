"""torch.compile with inductor: code must run compiled, and compile no oftener than untraced."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from tests.oracle.outcome import Program
from tests.oracle.probe import Probe

STEPS, ROWS, WIDTH = 4, 64, 128
GRAPH = "buffers of a compiled graph are no operator's results"


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(functional.silu(self.first(x)).square())


class Widening(nn.Module):
    """Compiled, its sines are a buffer that no operator returns."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Linear(16 * WIDTH, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.narrow(functional.silu(x.repeat(1, 16)).sin())


def fresh(probe: Probe) -> dict[str, Any]:
    """Forgets what was compiled; returns Dynamo's counters, which count from here."""
    from torch._dynamo import utils

    if shutil.which("g++") is None:
        probe.skip("inductor needs a C++ compiler")

    torch._dynamo.reset()
    utils.counters.clear()
    return utils.counters


def note_counters(probe: Probe, counters: dict[str, Any]) -> None:
    """How much was compiled is a result like any other: tracing must not change it."""
    graphs = counters["stats"]["unique_graphs"]
    probe.value(torch.tensor(graphs))
    probe.fact("graphs", graphs)


def train(make: Callable[[], Any], probe: Probe) -> None:
    counters = fresh(probe)
    with probe.traced():
        model = make()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(STEPS):
            loss = model(torch.randn(ROWS, WIDTH)).square().mean()
            loss.backward()
            probe.value(loss)
            probe.holds("gradients", *(weight.grad for weight in model.parameters()))
            optimizer.step()
            optimizer.zero_grad()
        states = optimizer.state.values()
        probe.holds("optimizer_state", *(value for state in states for value in state.values()))
        probe.holds("weights", *model.parameters())
    note_counters(probe, counters)


def infer(guard: Callable[[], Any], make: Callable[[], nn.Module], probe: Probe) -> None:
    counters = fresh(probe)
    plain = make().eval()
    model = torch.compile(plain, fullgraph=True)
    with probe.traced(), guard():
        for _ in range(STEPS):
            probe.value(model(torch.randn(ROWS, WIDTH)))
        probe.holds("weights", *plain.parameters())
    note_counters(probe, counters)


def compiled_before(probe: Probe) -> None:
    """What was compiled before the recording is used in it."""
    counters = fresh(probe)
    model = torch.compile(Model(), fullgraph=True)
    model(torch.randn(ROWS, WIDTH)).sum().backward()
    with probe.traced():
        for _ in range(STEPS):
            loss = model(torch.randn(ROWS, WIDTH)).square().mean()
            loss.backward()
            probe.value(loss)
        probe.holds("weights", *model.parameters())
        probe.holds("gradients", *(weight.grad for weight in model.parameters()))
    note_counters(probe, counters)


def after_the_recording(probe: Probe) -> None:
    """What was compiled during the recording goes on afterwards."""
    counters = fresh(probe)
    model = torch.compile(Model(), fullgraph=True)
    with probe.traced():
        loss = model(torch.randn(ROWS, WIDTH)).sum()
        loss.backward()
        probe.value(loss)
        probe.holds("weights", *model.parameters())
    for _ in range(STEPS):
        probe.value(model(torch.randn(ROWS, WIDTH)))
    probe.fact("graphs", counters["stats"]["unique_graphs"])


def whole() -> Any:
    return torch.compile(Model(), fullgraph=True)


def in_parts() -> Any:
    """Every block is compiled for itself."""
    blocks = nn.Sequential(Model(), Model())
    for block in blocks:
        block.compile(fullgraph=True)
    return blocks


PROGRAMS = {
    "not compiled": Program(partial(train, Model)),
    "training": Program(partial(train, whole), workspaces=GRAPH),
    "training, in parts": Program(partial(train, in_parts), workspaces=GRAPH),
    "inference, no_grad": Program(partial(infer, torch.no_grad, Model), workspaces=GRAPH),
    "inference, inference_mode": Program(
        partial(infer, torch.inference_mode, Model), workspaces=GRAPH
    ),
    "buffers inside": Program(partial(infer, torch.no_grad, Widening), workspaces=GRAPH),
    "compiled before": Program(compiled_before, workspaces=GRAPH),
    "compiled during, used after": Program(after_the_recording, workspaces=GRAPH),
}

"""PyTorch's own helpers around training: checkpoints, saving elsewhere, scaling, averages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint_sequential

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, rows

WIDTH, ROWS, STEPS = 128, 64, 2
ACTIVATION = ROWS * WIDTH * 4


def network() -> nn.Sequential:
    blocks = (nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU()) for _ in range(4))
    return nn.Sequential(*blocks)


def train(
    watch: Watch,
    model: nn.Module,
    call: Callable[[nn.Module, torch.Tensor], torch.Tensor],
    after: Callable[[], None] = lambda: None,
) -> None:
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(STEPS):
        call(model, torch.randn(ROWS, WIDTH, requires_grad=True)).square().mean().backward()
        watch.model(model, "after backward")
        optimizer.step()
        optimizer.zero_grad()
        after()
        watch.holds("gradients")
        watch.holds("optimizer_state", list(optimizer.state.values()))


def in_parts(reentrant: bool) -> Callable[[nn.Module, torch.Tensor], torch.Tensor]:
    def call(model: Any, x: torch.Tensor) -> torch.Tensor:
        return checkpoint_sequential(model, 4, x, use_reentrant=reentrant)

    return call


def elsewhere(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.autograd.graph.save_on_cpu():
        return model(x)


def plainly(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model(x)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_keep_less_and_recompute(record: Record, reentrant: bool) -> None:
    plain = record(lambda watch: train(watch, network(), plainly))
    parts = record(lambda watch: train(watch, network(), in_parts(reentrant)))
    assert plain.highest("activations") == 8 * ACTIVATION
    # What goes into the second, third and fourth part, and the two of the fourth, which is kept.
    assert parts.highest("activations") == 5 * ACTIVATION
    assert "recompute" in parts.phases()
    assert "recompute" not in plain.phases()


def test_save_on_cpu_copies_what_autograd_keeps(record: Record) -> None:
    recorded = record(lambda watch: train(watch, network(), elsewhere))
    assert recorded.highest("activations") >= 8 * ACTIVATION


def test_scaler_and_autocast(record: Record) -> None:
    """Autocast keeps a copy of every weight in bfloat16 for as long as the graph lives."""

    def program(watch: Watch) -> None:
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
        scaler = torch.amp.GradScaler("cpu")
        for _ in range(STEPS):
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(torch.randn(ROWS, WIDTH)).square().mean()
            scaler.scale(loss).backward()
            watch.model(model, "after backward")
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            watch.model(model, "after step")
            watch.holds("optimizer_state", list(optimizer.state.values()))

    recorded = record(program)
    kept = rows(recorded.at_highest("activations"), "activations")
    casts = [row for row in kept if row.bytes == 2 * WIDTH * WIDTH]
    assert {row.module for row in casts} == {"1.0", "2.0", "3.0"}  # the first input has no gradient


@pytest.mark.parametrize("average", [None, get_ema_multi_avg_fn(0.9)], ids=["SWA", "EMA"])
def test_averaged_copies_are_weights(record: Record, average: Any) -> None:
    def program(watch: Watch) -> None:
        model = network()
        averaged = AveragedModel(model, multi_avg_fn=average)
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(STEPS):
            model(torch.randn(ROWS, WIDTH)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            averaged.update_parameters(model)
            watch.holds("weights", list(model.parameters()), list(averaged.parameters()))
            watch.holds("buffers", list(averaged.buffers()))
            watch.holds("optimizer_state", list(optimizer.state.values()))
        with torch.no_grad():
            averaged(torch.randn(ROWS, WIDTH))

    recorded = record(program)
    names = {row.name for row in rows(recorded.peak, "weights")}
    assert len(names) == 16, names
    assert "0.0.weight" in names

"""Optimizers that memprof has never heard of: their states are found by structure."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, attributes_of, rows

WIDTH, STEPS = 64, 4


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.SiLU(), nn.Linear(4 * WIDTH, WIDTH))


class Velocity:
    """Keeps its state in a list, made at the first step."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = list(model.parameters())
        self.speed: list[torch.Tensor] = []

    def update(self) -> None:
        with torch.no_grad():
            self.speed = self.speed or [torch.zeros_like(weight) for weight in self.weights]
            for weight, speed in zip(self.weights, self.speed, strict=True):
                speed.mul_(0.9).add_(weight.grad)
                weight.sub_(speed, alpha=0.01)
                weight.grad = None

    def state(self) -> list[Any]:
        return [self.speed]


class Replacing(Velocity):
    """Makes new tensors in every step."""

    def update(self) -> None:
        with torch.no_grad():
            self.speed = self.speed or [torch.zeros_like(weight) for weight in self.weights]
            self.speed = [
                0.9 * speed + weight.grad
                for weight, speed in zip(self.weights, self.speed, strict=True)
            ]
            for weight, speed in zip(self.weights, self.speed, strict=True):
                weight.sub_(speed, alpha=0.01)
                weight.grad = None


class Moments:
    """Keeps its states by parameter and by name, made before the first step."""

    class Pair:
        def __init__(self, like: torch.Tensor) -> None:
            self.mean, self.square = torch.zeros_like(like), torch.zeros_like(like)

    def __init__(self, model: nn.Module) -> None:
        self.groups = [{"rate": 0.01, "weights": list(model.parameters())}]
        self.kept = {weight: Moments.Pair(weight) for weight in model.parameters()}

    def update(self) -> None:
        with torch.no_grad():
            for weight, pair in self.kept.items():
                pair.mean.lerp_(weight.grad, 0.1)
                pair.square.mul_(0.9).addcmul_(weight.grad, weight.grad, value=0.1)
                weight.addcdiv_(pair.mean, pair.square.sqrt() + 1e-8, value=-0.01)
                weight.grad = None

    def state(self) -> list[Any]:
        return [attributes_of(pair) for pair in self.kept.values()]


class ByIdentity(Velocity):
    """Keeps its states by the parameters' identities, and the parameters as keys alone."""

    def __init__(self, model: nn.Module) -> None:
        self.rates = dict.fromkeys(model.parameters(), 0.01)
        self.kept: dict[int, dict[str, torch.Tensor]] = {}

    def update(self) -> None:
        with torch.no_grad():
            for weight, rate in self.rates.items():
                kept = self.kept.setdefault(id(weight), {"speed": torch.zeros_like(weight)})
                weight.sub_(kept["speed"].mul_(0.9).add_(weight.grad), alpha=rate)
                weight.grad = None

    def state(self) -> list[Any]:
        return list(self.kept.values())


@pytest.mark.parametrize("kind", [Velocity, Replacing, Moments, ByIdentity])
def test_optimizer(record: Record, kind: Any) -> None:
    alive = []  # as in a script: what a step makes is looked at when the next call begins

    def program(watch: Watch) -> None:
        model = network()
        optimizer = kind(model)
        alive.append(optimizer)
        for step in range(STEPS):
            model(torch.randn(8, WIDTH)).square().mean().backward()
            watch.model(model, f"after backward {step}")
            optimizer.update()
            watch.model(model, f"after step {step}")
            watch.holds("optimizer_state", optimizer.state(), where=f"after step {step}")

    recorded = record(program)
    held = rows(recorded.at_highest("optimizer_state"), "optimizer_state")
    assert all(row.module in ("0", "2") for row in held)
    names = {row.name for row in held}
    assert {name for name in names if name.startswith("2.weight.")}, names


def test_gradients_attached_to_weights(record: Record) -> None:
    """As Megatron-LM does: backward adds up into tensors that live as long as the weights."""

    def program(watch: Watch) -> None:
        model = network()
        for weight in model.parameters():
            weight.main_grad = torch.zeros_like(weight)
        for _ in range(STEPS):
            model(torch.randn(8, WIDTH)).square().mean().backward()
            for weight in model.parameters():
                weight.main_grad.add_(weight.grad)
                weight.grad = None
            watch.holds("gradients", [weight.main_grad for weight in model.parameters()])
            watch.holds("weights", list(model.parameters()))
            watch.holds("optimizer_state")

    recorded = record(program)
    names = {row.name for row in rows(recorded.at(recorded.claims[-1]), "gradients")}
    assert "0.weight.main_grad" in names


def test_what_a_program_merely_keeps_is_no_state(record: Record) -> None:
    class Loop:
        def __init__(self) -> None:
            self.model = network()
            self.best = [weight.detach().clone() for weight in self.model.parameters()]
            self.optimizer = torch.optim.SGD(self.model.parameters(), momentum=0.9)

    loop = []

    def program(watch: Watch) -> None:
        loop.append(Loop())
        for _ in range(STEPS):
            loop[0].model(torch.randn(8, WIDTH)).square().mean().backward()
            loop[0].optimizer.step()
            loop[0].optimizer.zero_grad()
            watch.model(loop[0].model)
            watch.holds("optimizer_state", list(loop[0].optimizer.state.values()))
            watch.holds("unattributed", loop[0].best)

    record(program, unattributed=0.5)

"""Every optimizer of torch.optim, in each of its implementations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from tests.oracle.outcome import Program
from tests.oracle.probe import Probe

STEPS = 3
BOTH: list[dict[str, Any]] = [{"foreach": True}, {"foreach": False}]
FUSED = [*BOTH, {"fused": True}]
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "SGD": [{"momentum": 0.9, **options} for options in FUSED],
    "Adam": [*FUSED, {"amsgrad": True}],
    "AdamW": [*FUSED, {"amsgrad": True, "foreach": True}],
    "Adagrad": FUSED,
    "Adadelta": BOTH,
    "Adamax": BOTH,
    "ASGD": BOTH,
    "NAdam": BOTH,
    "RAdam": BOTH,
    "RMSprop": [{"momentum": 0.9, "centered": True, **options} for options in BOTH],
    "Rprop": BOTH,
    "Adafactor": BOTH,
    "SparseAdam": [{}],
    "LBFGS": [{"max_iter": 4}],
}


class Model(nn.Module):
    def __init__(self, *, matrices_only: bool, sparse: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 64, sparse=sparse)
        self.head = nn.Linear(64, 64, bias=not matrices_only)
        if sparse:
            self.head.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(x).relu())


def optimize(kind: type[torch.optim.Optimizer], options: dict[str, Any], probe: Probe) -> None:
    name = kind.__name__
    with probe.traced():
        model = Model(matrices_only=name == "Muon", sparse=name == "SparseAdam")
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer: Any = kind(trained, lr=1e-3, **options)
        for _ in range(STEPS):
            loss = step(model, optimizer, torch.randint(100, (2, 16)))
            probe.value(loss)
            probe.holds("optimizer_state", *states(list(optimizer.state.values())))
            probe.holds("gradients", *(weight.grad for weight in trained))
        probe.holds("weights", *model.parameters())


def step(model: Model, optimizer: Any, tokens: torch.Tensor) -> torch.Tensor:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(tokens).square().mean()
        loss.backward()
        return loss

    if type(optimizer) is torch.optim.LBFGS:  # calls the closure several times in a step
        return optimizer.step(closure)
    loss = closure()
    optimizer.step()
    return loss


def states(value: object) -> Iterator[torch.Tensor]:
    """Every tensor in nested dicts and lists."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from states(item)


def called(name: str, options: dict[str, Any]) -> str:
    return " ".join([name, *(f"{option}={value}" for option, value in options.items())])


def program(name: str, options: dict[str, Any]) -> Program:
    return Program(partial(optimize, getattr(torch.optim, name), options))


MUON = replace(
    program("Muon", {}), outside="Muon multiplies bfloat16, by oneDNN in memory of its own"
)
PROGRAMS = {
    called(name, options): program(name, options)
    for name, variants in OPTIONS.items()
    for options in variants
}
PROGRAMS |= {
    "Muon": MUON,
    "Muon without oneDNN": replace(
        MUON.without_onednn(), workspaces="bfloat16 is multiplied in copies"
    ),
}

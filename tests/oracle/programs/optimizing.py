"""Every optimizer of torch.optim, in each of its implementations."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from tests.oracle.probe import Probe, Program

STEPS = 3


def optimize(kind: type[torch.optim.Optimizer], options: dict[str, Any], probe: Probe) -> None:
    matrices_only = kind.__name__ == "Muon"
    with probe.traced():
        model = nn.Sequential(
            nn.Linear(64, 128, bias=not matrices_only),
            nn.ReLU(),
            nn.Linear(128, 32, bias=not matrices_only),
        )
        optimizer = kind(model.parameters(), lr=1e-3, **options)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(torch.ones(4, 64)).pow(2).mean()
            loss.backward()
            return loss

        for _ in range(STEPS):
            if kind is torch.optim.LBFGS:
                loss = optimizer.step(closure)
            else:
                loss = closure()
                optimizer.step()
            probe.value(loss)
            probe.holds("optimizer_state", list(optimizer.state.values()))
        probe.holds("weights", list(model.parameters()))
        probe.holds("gradients", [parameter.grad for parameter in model.parameters()])


def _variants() -> dict[str, Program]:
    optim = torch.optim
    both = [{"foreach": True}, {"foreach": False}]
    fused = [*both, {"fused": True}]
    table: dict[str, list[dict[str, Any]]] = {
        "SGD": [{"momentum": 0.9, **options} for options in fused],
        "Adam": [*fused, {"amsgrad": True}],
        "AdamW": [*fused, {"amsgrad": True, "foreach": True}],
        "Adagrad": fused,
        "Adadelta": both,
        "Adamax": both,
        "ASGD": both,
        "NAdam": both,
        "RAdam": both,
        "RMSprop": [{"momentum": 0.9, "centered": True, **options} for options in both],
        "Rprop": both,
        "Adafactor": both,
        "LBFGS": [{"max_iter": 4}],
        "Muon": [{}],
    }
    return {
        f"{name} {options}": partial(optimize, getattr(optim, name), options)
        for name, variants in table.items()
        if hasattr(optim, name)
        for options in variants
    }


PROGRAMS: dict[str, Program] = _variants()

"""Small programs that take one step after another, all alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

Step = Callable[[], None]


class EmptyMode(TorchDispatchMode):
    """What any dispatch mode does to a program, and nothing more."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.mix(x, x, x, need_weights=False)[0]
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(32), Block(32)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        return x


def gpt() -> Step:
    model = nn.Sequential(nn.Embedding(64, 32), Block(32), Block(32), nn.Linear(32, 64))
    return training(model, torch.randint(64, (4, 16)), torch.optim.AdamW)


def conv() -> Step:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2)]
    return training(nn.Sequential(*layers), torch.randn(4, 3, 16, 16), torch.optim.SGD)


def checkpointed() -> Step:
    return training(Checkpointed(), torch.randn(4, 16, 32), torch.optim.SGD)


def compiled() -> Step:
    torch._dynamo.reset()
    model = torch.compile(nn.Sequential(Block(32), Block(32)), backend="aot_eager")
    return training(model, torch.randn(4, 16, 32), torch.optim.SGD)


def shared() -> Step:
    """A tensor used twice, whose two gradients are summed: under a mode out of place."""
    return training(nn.Sequential(Block(32), Block(32)), torch.randn(4, 16, 32), torch.optim.SGD)


def plain() -> Step:
    model = nn.Sequential(nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 8))
    return training(model, torch.randn(16, 32), torch.optim.SGD)


def training(model: Any, given: torch.Tensor, optimizer: Any) -> Step:
    updates = optimizer(model.parameters(), lr=1e-3)

    def step() -> None:
        updates.zero_grad()
        model(given).square().mean().backward()
        updates.step()

    return step

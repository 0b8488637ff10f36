"""Layers that keep activations for backward, and layers that compute them once more."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.analyze.findings.recorded import RECORDERS, found

WIDTH, INNER, ROWS, FLOAT = 64, 512, 128, 4


class Block(nn.Module):
    """Keeps its inner result for backward, and its input, which is the result of the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, INNER, bias=False)
        self.down = nn.Linear(INNER, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.down(torch.relu(self.up(x)))


class Stack(nn.Module):
    """So many blocks."""

    def __init__(self, count: int, *, spare: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(count))
        self.spare = spare

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.spare else block(x)
        return x


def train(model: nn.Module) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model(torch.randn(ROWS, WIDTH)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("recorder", RECORDERS)
def test_all_layers_but_one_keep_their_inner_results(recorder: str) -> None:
    model = Stack(4, spare=False)

    (finding,) = found(lambda: train(model), recorder, "checkpointing")

    assert finding.bytes == (4 - 1) * ROWS * INNER * FLOAT
    assert len(finding.allocations) == 3
    assert "4 layers blocks.*" in finding.text


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize(("count", "spare"), [(4, True), (1, False)])
def test_checkpoints_and_a_single_layer_are_not_told(
    count: int, spare: bool, recorder: str
) -> None:
    model = Stack(count, spare=spare)

    assert found(lambda: train(model), recorder, "checkpointing") == []

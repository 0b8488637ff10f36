"""Gradients that the next forward finds alive, and some that it does not."""

from __future__ import annotations

import pytest
import torch

from tests.analyze.findings.recorded import RECORDERS, found, linears, total

KIND = "kept_gradients"


def train(model: torch.nn.Module, *, late: bool) -> None:
    """Two steps; `late` drops the gradients after the forward instead of before it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        if not late:
            optimizer.zero_grad()
        loss = model(torch.randn(64, 256)).sum()
        if late:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("recorder", RECORDERS)
def test_gradients_over_the_forward_are_told_to_the_byte(recorder: str) -> None:
    model = linears(256, 256, 256)

    (finding,) = found(lambda: train(model, late=True), recorder, KIND)

    assert finding.bytes == total(model.parameters())
    assert len(finding.allocations) == 2


@pytest.mark.parametrize("recorder", RECORDERS)
def test_gradients_dropped_in_time_are_not_told(recorder: str) -> None:
    assert found(lambda: train(linears(256, 256, 256), late=False), recorder, KIND) == []


@pytest.mark.parametrize("recorder", RECORDERS)
def test_gradients_that_add_up_over_micro_batches_are_not_told(recorder: str) -> None:
    model = linears(256, 256, 256)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def program() -> None:
        for _ in range(3):
            for _ in range(2):
                model(torch.randn(64, 256)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    assert found(program, recorder, KIND) == []

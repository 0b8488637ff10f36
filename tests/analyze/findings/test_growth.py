"""What a loop keeps from step to step, and what only seems to grow."""

from __future__ import annotations

import pytest
import torch

import memprof
from tests.analyze.findings.recorded import RECORDERS, found, linears, total

STEPS = 6


@pytest.mark.parametrize("recorder", RECORDERS)
def test_results_in_a_list_are_told_but_for_the_last_step_s(recorder: str) -> None:
    model, kept = linears(256, 256), []

    def program() -> None:
        for _ in range(STEPS):
            with torch.no_grad():
                kept.append(model(torch.randn(128, 256)))
            memprof.step()

    (finding,) = found(program, recorder, "growth")

    assert finding.bytes == total(kept[:-1])
    assert len(finding.allocations) == STEPS - 1


@pytest.mark.parametrize("recorder", RECORDERS)
def test_losses_in_a_list_keep_their_graphs(recorder: str) -> None:
    model, losses = linears(256, 256), []
    x, y = torch.empty(128, 256), torch.empty(128, 256)

    def program() -> None:
        for _ in range(STEPS):
            losses.append(model(torch.randn_like(x)).square().sum())
            memprof.step()

    (finding,) = found(program, recorder, "growth")

    assert finding.bytes == (STEPS - 1) * (x.nbytes + y.nbytes + losses[0].nbytes)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_numbers_and_one_tensor_that_gets_longer_are_not_told(recorder: str) -> None:
    model = linears(256, 256)

    def program() -> None:
        numbers, longer = [], torch.randn(64, 256)
        for _ in range(STEPS):
            with torch.no_grad():
                result = model(torch.randn(128, 256))
                numbers.append(result.sum().item())
                longer = torch.cat([longer, result])
            memprof.step()

    assert found(program, recorder, "growth") == []

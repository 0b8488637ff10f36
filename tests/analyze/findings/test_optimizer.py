"""What an optimizer takes for its step: for all parameters at once, for one, for none."""

from __future__ import annotations

import pytest
import torch

from memprof.analyze.findings import Finding
from tests.analyze.findings.recorded import RECORDERS, found, linears, total


def step(model: torch.nn.Module, recorder: str, **how: bool) -> list[Finding]:
    """Weight decay needs one tensor more than the gradients: the sum of both."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1, **how)

    def program() -> None:
        for _ in range(2):
            model(torch.randn(4, 256)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    return found(program, recorder, "optimizer_temporaries")


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_step_for_all_parameters_at_once_takes_them_once_more(recorder: str) -> None:
    model = linears(256, 512, 256)

    (finding,) = step(model, recorder, foreach=True)

    assert finding.bytes == total(model.parameters())
    assert len(finding.allocations) == 2
    assert "foreach=False" in finding.fix


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_step_one_by_one_takes_the_largest_parameter_once_more(recorder: str) -> None:
    model = linears(256, 512, 64)

    (finding,) = step(model, recorder, foreach=False)

    assert finding.bytes == max(weight.nbytes for weight in model.parameters())
    assert "fused=True" in finding.fix


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_fused_step_takes_nothing(recorder: str) -> None:
    assert step(linears(256, 512, 256), recorder, fused=True) == []

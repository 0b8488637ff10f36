"""Parts that a program keeps of what it no longer needs, as views and as copies."""

from __future__ import annotations

import pytest
import torch

from memprof.analyze.findings import Finding
from tests.analyze.findings.recorded import RECORDERS, found, linears

STEPS, ROWS, WIDTH, FLOAT = 6, 512, 256, 4
KIND = "kept_by_views"


def collect(recorder: str, *, clone: bool) -> tuple[list[Finding], list[torch.Tensor]]:
    """Keeps four rows of the model's result in every step."""
    model, kept = linears(WIDTH, WIDTH), list[torch.Tensor]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def program() -> None:
        for _ in range(STEPS):
            result = model(torch.randn(ROWS, WIDTH))
            rows = result.detach()[:4]
            kept.append(rows.clone() if clone else rows)
            result.sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    return found(program, recorder, KIND), kept


@pytest.mark.parametrize("recorder", RECORDERS)
def test_what_slices_of_earlier_steps_keep_is_told(recorder: str) -> None:
    (finding,), kept = collect(recorder, clone=False)

    rest = [view.untyped_storage().nbytes() - view.nbytes for view in kept[:-1]]
    assert rest == (STEPS - 1) * [(ROWS - 4) * WIDTH * FLOAT]
    assert finding.bytes == sum(rest)
    assert f"float32[4, {WIDTH}]" in finding.text
    assert "test_views.py" in finding.text


@pytest.mark.parametrize("recorder", RECORDERS)
def test_copies_of_the_slices_are_not_told(recorder: str) -> None:
    assert collect(recorder, clone=True)[0] == []


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_table_cut_before_the_first_call_is_told_once(recorder: str) -> None:
    """One of a module's attributes; calls that come later do not grow it."""
    model = linears(WIDTH, WIDTH)

    def program() -> None:
        model.table = torch.randn(ROWS, WIDTH)[:4]
        for _ in range(3):
            model(torch.randn(8, WIDTH)).sum().backward()

    (finding,) = found(program, recorder, KIND)

    assert finding.bytes == (ROWS - 4) * WIDTH * FLOAT


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_part_that_is_most_of_it_is_not_told(recorder: str) -> None:
    model, kept = linears(WIDTH, WIDTH), list[torch.Tensor]()

    def program() -> None:
        kept.append(torch.randn(ROWS, WIDTH)[: ROWS // 2])
        for _ in range(3):
            model(torch.randn(8, WIDTH)).sum().backward()

    assert found(program, recorder, KIND) == []

"""Programs on a real card, against PyTorch's statistics, its memory history, and NVML.

The full sizes and all that is measured are in `benchmarks/gpu.py`; here the same checks run small.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmarks.card import claims
from benchmarks.card.check import checked
from benchmarks.card.device import Card
from benchmarks.card.programs import PROGRAMS
from benchmarks.card.sizes import CARD, Shape

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
SMALL = Shape(4096, 512, 1408, 4, 8, 4)
SIZES = replace(CARD, training=SMALL, generating=SMALL, tokens=256, prompt=64, new_tokens=8)
ROUNDING_AND_WORKSPACES = 64 << 20


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "out of memory"])
def test_a_program(name: str) -> None:
    found: dict[str, Any] = checked(PROGRAMS[name], SIZES, Card())
    assert found["error"] is None
    assert found["unattributed_share"] < 0.01
    if found["recorder"] == "native":
        assert [row["error_bytes"] for row in found["boundaries"]] == [0] * SIZES.steps
        assert (found["history"]["missed"], found["history"]["invented"]) == (0, 0)
    for row in found["boundaries"]:
        assert row["categories_bytes"] == row["recorded_bytes"]
        assert abs(row["error_bytes"]) < ROUNDING_AND_WORKSPACES


def test_memory_that_runs_out() -> None:
    found = checked(PROGRAMS["out of memory"], SIZES, Card())
    assert found["error"].startswith("OutOfMemoryError: CUDA out of memory.")
    told = found["out_of_memory"]
    assert (told["device"], told["module"], told["phase"]) == ("cuda:0", "1", "forward")
    assert told["asked_bytes"] >= 1 << 43
    assert told["free_bytes"] is not None
    assert told["by_category"]["weights"] > 0


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.name)
def test_what_is_taken_for_granted(claim: claims.Claim) -> None:
    answer = claim.answer(Card())
    assert "error" not in answer["measured"], answer
    if answer["verdict"] == claims.NOT_DECIDABLE:
        pytest.skip(answer["reason"])
    assert answer["verdict"] == claims.CONFIRMED, answer

"""What is to run on a card runs small on the CPU, and its comparisons find planted errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from benchmarks import gpu
from benchmarks.card import claims, cost
from benchmarks.card.check import compared_with_history, compared_with_statistics
from benchmarks.card.claims.claim import compared
from benchmarks.card.device import Card
from benchmarks.card.formulas import FORMULAS
from benchmarks.card.programs import PROGRAMS
from benchmarks.card.sizes import CARD
from memprof.analyze import Analysis
from tests.trace_builder import TraceBuilder


@pytest.fixture(autouse=True)
def _no_group_is_left() -> Iterator[None]:
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_rehearsed(name: str) -> None:
    found = gpu.part(name, dry_run=True)
    assert (found["error"] is not None) == (name == "out of memory")
    assert found["peak"]["by_category"]["weights"] > 0
    assert found["unattributed_share"] < 0.01
    assert found["history"] is None, "no CUDA, no figure"
    assert found["boundaries"] == []
    assert found["waterfall_open_share"] is None
    if name.startswith("generation"):
        assert found["peak"]["by_category"]["kv_cache"] > 0
    json.dumps(found)


def test_costs_are_rehearsed() -> None:
    found = gpu.part("cost", dry_run=True)
    assert found["not_measured"] == {}
    assert {cost.UNTRACED, cost.NATIVE} < set(found["ratios"])


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    return gpu.part("claims", dry_run=True)


def test_every_claim_is_rehearsed(answers: dict[str, Any]) -> None:
    assert len({claim.name for claim in claims.CLAIMS}) == len(claims.CLAIMS)
    for answer in answers.values():
        assert all(answer[key] for key in ("claim", "source", "reason"))
        assert answer["verdict"] == claims.NOT_DECIDABLE
        assert "error" not in answer["measured"], answer
    json.dumps(answers)


#: Other kernels than CUDA's: the CPU's norm, dropout, softmax, attention and bfloat16 product.
CPU_DIFFERS = {
    "a_fused_norm_keeps_its_input_alone",
    "dropout_keeps_a_byte",
    "softmax_reads_half_precision_itself",
    "flash_backward_has_workspaces",
    "muon_orthogonalises_one_matrix_at_a_time",
}


def test_what_is_no_matter_of_kernels_holds_on_the_cpu_too(answers: dict[str, Any]) -> None:
    figures = {n: a["measured"] for n, a in answers.items() if "differs" in a["measured"]}
    assert {name for name, told in figures.items() if told["differs"]} == CPU_DIFFERS
    assert len(figures) > 2 * len(CPU_DIFFERS)


def test_a_claim_is_confirmed_corrected_or_left_open() -> None:
    seen: list[dict[str, Any]] = [{"holds": holds, "bytes": 1} for holds in (True, False, None)]

    def check(bench: claims.Bench) -> dict[str, Any]:
        """A claim."""
        return seen.pop(0)

    verdicts = [claims.Claim(check, "a source").answer(Card()) for _ in range(4)]
    found = [answer["verdict"] for answer in verdicts]
    assert found == ["confirmed", "corrected", "not decidable", "not decidable"]
    assert verdicts[1]["measured"] == {"bytes": 1}
    assert verdicts[3]["measured"] == {"error": "IndexError: pop from empty list"}
    seen = compared({"a": 100, "b": 0.5}, {"a": 101.5, "b": 0.505})
    assert (seen["holds"], seen["differs"]) == (False, ["a"])


def test_a_rehearsal_claims_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PARTS", ("formulas",))
    document = gpu.everything(dry_run=True)
    assert document["dry_run"]
    assert document["limits"] == []
    assert document["machine"]["card"] is None
    assert gpu.RESULTS not in gpu.default_output(document).absolute().parents
    assert document["tests"] == {}
    assert set(FORMULAS) < set(document["parts"]["formulas"]), "its process ran"


def test_without_a_card_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert "there is no CUDA device here; --dry-run rehearses on the CPU" in told


def test_a_part_that_fails_or_takes_too_long_costs_itself_alone() -> None:
    assert "invalid choice" in gpu._run("nonsense", True, 60)["failed"]
    assert gpu._run("formulas", True, 0.5)["failed"] == "no time was left"


def test_the_tests_have_what_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu.SECONDS <= 600, "a card is lent for ten minutes"
    assert gpu._tests(0.01) == {"rc": 124, "output": "took longer than 0 s"}
    given: list[float] = []
    monkeypatch.setattr(gpu, "PARTS", ("claims", "cost"))
    monkeypatch.setattr(
        gpu, "_run", lambda name, dry, seconds: given.append(seconds) or {"seconds": 0}
    )
    monkeypatch.setattr(gpu, "_tests", lambda seconds: given.append(seconds) or {"rc": 0})
    monkeypatch.setattr(gpu, "limits", lambda parts: [])
    monkeypatch.setattr(gpu, "machine", lambda dry: {})
    gpu.everything(dry_run=False)
    assert max(given[:-1]) <= gpu.SECONDS - gpu.TESTS_SECONDS
    assert gpu.TESTS_SECONDS < given[-1] <= gpu.SECONDS


def parts(**changed: Any) -> dict[str, Any]:
    good = {"unattributed_share": 0.0, "waterfall_open_share": 0.0}
    return {"cost": {"ratios": {cost.NATIVE: 1.0}}, **dict.fromkeys(PROGRAMS, good), **changed}


def test_limits() -> None:
    assert all(row["holds"] for row in gpu.limits(parts()))
    bad = {"unattributed_share": 0.02, "waterfall_open_share": None}
    rows = gpu.limits(parts(training=bad, cost={"failed": "x"}))
    found = {row["what"]: row["holds"] for row in rows}
    assert found["native recorder's step"] is None
    assert found["training: unattributed"] is False
    assert found["training: not explained"] is None


def test_the_history_finds_what_is_missed_and_what_is_invented() -> None:
    build = TraceBuilder()
    for nbytes in (100, 100, 7):
        build.alloc(nbytes, device="cuda:0")
    build.alloc(5, device="cpu")
    history = [{"action": "alloc", "size": size} for size in (100, 300)]
    history.append({"action": "segment_alloc", "size": 2 << 20})
    found = compared_with_history(build.trace(), "cuda:0", history)
    assert (found["missed"], found["missed_bytes"], found["invented"]) == (1, 300, 2)
    assert dict(found["invented_most"]) == {100: 1, 7: 1}


def test_the_statistics_find_what_is_missed() -> None:
    build = TraceBuilder()
    build.alloc(1000, device="cuda:0")
    told = {"requested_bytes.current": 1300, "allocated_bytes.current": 2048}
    boundary = (build.now, {**told, "requested_bytes.peak": 1300})
    rows = compared_with_statistics(Analysis(build.trace()), "cuda:0", [boundary])
    assert rows[0]["error_bytes"] == -300


def test_the_shapes_are_what_they_claim() -> None:
    """Llama-3-8B keeps 131,072 bytes a token; the trained model has about 1e9 parameters."""
    assert CARD.generating.kv_bytes_per_token == 131_072
    shape = CARD.training
    attention = 2 * shape.width * (shape.width + shape.kv_heads * shape.head_width)
    block = attention + 3 * shape.width * shape.mlp + 2 * shape.width
    total = shape.layers * block + 2 * shape.vocabulary * shape.width + shape.width
    assert 0.9e9 < total < 1.2e9

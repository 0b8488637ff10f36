"""What an allocator has reserved and not handed out, from its own counts."""

from __future__ import annotations

import pytest

from memprof.analyze import Analysis
from memprof.analyze.findings import Finding, findings
from tests.trace_builder import GIB, TraceBuilder

MIB = 1 << 20


def card(allocated: int, reserved: int | None, split: int | None = None) -> list[Finding]:
    build = TraceBuilder(devices={"cuda:0": {"name": "a card"}})
    build.alloc(2 * GIB, device="cuda:0", label="parameter", name="weight")
    build.sample("cuda:0/allocated_bytes", allocated)
    if reserved is not None:
        build.sample("cuda:0/reserved_bytes", reserved)
    if split is not None:
        build.sample("cuda:0/inactive_split_bytes", split)
    return findings(Analysis(build.trace()))


def test_what_lies_between_blocks_is_told() -> None:
    (finding,) = card(2 * GIB, 3 * GIB)

    assert (finding.kind, finding.bytes, finding.device) == ("reserved_unused", GIB, "cuda:0")
    assert "expandable_segments" in finding.fix


@pytest.mark.parametrize(
    ("allocated", "reserved"),
    [(2 * GIB, 2 * GIB + 256 * MIB), (20 * GIB, 22 * GIB), (2 * GIB, None)],
)
def test_little_a_small_share_and_the_unknown_are_not(allocated: int, reserved: int) -> None:
    assert card(allocated, reserved) == []


@pytest.mark.parametrize(("split", "fix"), [(800, "expandable_segments"), (100, "empty_cache")])
def test_fragments_and_cache_have_each_their_own_fix(split: int, fix: str) -> None:
    (finding,) = card(2 * GIB, 3 * GIB, split * MIB)

    assert finding.bytes == GIB
    assert f"{split}.00 MiB between blocks" in finding.text
    assert fix in finding.fix

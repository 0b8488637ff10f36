"""What lies free in the allocator's segments, of snapshots made by hand and on real cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memprof.interop.plain_pickle import load_plain
from memprof.record.segments import FreeBlocks, free_blocks
from tests.snapshots import needs_snapshots, snapshots

MIB = 1 << 20


def segment(*blocks: tuple[str, int], pool: tuple[int, int] = (0, 0), device: int = 0) -> Any:
    return {
        "device": device,
        "segment_pool_id": pool,
        "blocks": [{"state": state, "size": size} for state, size in blocks],
    }


def test_free_blocks_by_what_they_could_serve() -> None:
    segments = [
        segment(("active_allocated", 8 * MIB), ("inactive", 3 * MIB), ("inactive", 9 * MIB)),
        segment(("active_awaiting_free", 4 * MIB), ("inactive", 8 * MIB)),
        segment(("inactive", 5 * MIB), ("active_allocated", MIB), pool=(0, 1)),
        segment(("inactive", 7 * MIB), device=1),
    ]
    assert free_blocks(segments) == {
        0: FreeBlocks(graph_pools=5 * MIB, fragmented=3 * MIB, largest=9 * MIB),
        1: FreeBlocks(graph_pools=0, fragmented=0, largest=7 * MIB),
    }


def test_nothing_is_held() -> None:
    assert free_blocks([]) == {}


@needs_snapshots
@pytest.mark.parametrize("path", snapshots(".pickle"), ids=lambda path: path.stem)
def test_real_segments_add_up(path: Path) -> None:
    read: Any = load_plain(path.read_bytes(), str(path))
    segments = [s for s in read["segments"] if s["device"] == 0]
    found = free_blocks(segments)[0]
    free = sum(s["total_size"] - s["active_size"] for s in segments)
    assert found.graph_pools + found.fragmented <= free
    assert found.graph_pools + max(found.fragmented, found.largest) <= free

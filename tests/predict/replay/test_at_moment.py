"""The modelled allocator at one moment: every live byte is in a block, and every block known."""

from __future__ import annotations

import pytest

from memprof.analyze import analyze
from memprof.predict.replay.at_moment import allocator_at
from memprof.trace import Trace
from tests.trace_builder import TraceBuilder

MIB = 1 << 20


@pytest.fixture
def trace() -> Trace:
    build = TraceBuilder()
    build.alloc(5, device="cpu")
    large = [build.alloc(3 * MIB, device="cuda:0") for _ in range(6)]
    build.alloc(0, device="cuda:0")
    build.free(large[1], large[4])
    small = [build.alloc(700, device="cuda:0") for _ in range(3)]
    build.free(small[1])
    return build.trace()


def test_blocks_hold_what_is_alive_at_every_event(trace: Trace) -> None:
    device = analyze(trace).device("cuda:0")
    for event in range(1, len(trace.events)):
        found = allocator_at(trace, "cuda:0", event)
        live = device.at_event(event).live().allocations
        sizes = trace.allocations.nbytes
        expected = {index: int(sizes[index]) for index in live.tolist() if sizes[index]}
        blocks = [block for segment in found.segments for block in segment.blocks]
        held = {found.allocation(b): b.requested for b in blocks if b.use != "inactive"}
        assert held == expected
        assert found.result.end.reserved == sum(segment.size for segment in found.segments)
        for segment in found.segments:
            assert sum(block.size for block in segment.blocks) == segment.size


def test_it_is_what_pytorch_does_with_such_requests(trace: Trace) -> None:
    """Requests of 1 to 10 MiB share segments of 20 MiB, those below 1 MiB segments of 2 MiB."""
    found = allocator_at(trace, "cuda:0", len(trace.events) - 1)
    assert sorted(segment.size for segment in found.segments) == [2 * MIB, 20 * MIB]
    (large,) = (segment for segment in found.segments if not segment.small)
    held = [block.use != "inactive" for block in large.blocks]
    assert held == [True, False, True, True, False, True, False]

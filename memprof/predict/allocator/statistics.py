"""The allocator's state in the words of `torch.cuda.memory_stats`."""

from __future__ import annotations

from memprof.predict.allocator.allocator import CachingAllocator
from memprof.predict.allocator.snapshot import segment_map


def statistics(allocator: CachingAllocator) -> dict[str, int]:
    """Gives what PyTorch counts for both pools together, by PyTorch's names, in bytes and counts.

    Unlike PyTorch, free memory of expandable segments counts as `inactive_split` where it cannot
    be given back.
    """
    levels, segments = allocator.levels, segment_map(allocator)
    unused = [
        block
        for segment in segments
        for block in segment.blocks
        if block.use == "inactive" and len(segment.blocks) > 1
    ]
    return {
        "allocation.all.current": len(allocator.live),
        "active.all.current": len(allocator.live) + len(allocator.uses.waiting),
        "segment.all.current": len(segments),
        "inactive_split.all.current": len(unused),
        "requested_bytes.all.current": levels.requested,
        "requested_bytes.all.peak": levels.requested_peak,
        "allocated_bytes.all.current": levels.allocated,
        "allocated_bytes.all.peak": levels.allocated_peak,
        "active_bytes.all.current": levels.allocated + levels.pending,
        "reserved_bytes.all.current": levels.reserved,
        "reserved_bytes.all.peak": levels.reserved_peak,
        "inactive_split_bytes.all.current": levels.fragmented,
        "num_alloc_retries": allocator.retries,
        "num_ooms": allocator.failures,
        "num_device_alloc": allocator.segments.allocations,
        "num_device_free": allocator.segments.releases,
    }

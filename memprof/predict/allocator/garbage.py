"""Giving back a part of what is unused: old segments, or just enough oversize ones."""

from __future__ import annotations

from bisect import bisect_left

from memprof.predict.allocator.blocks import Arena, Block, StreamPool
from memprof.predict.allocator.segments import Segments
from memprof.predict.allocator.settings import AllocatorSettings


def collect_garbage(large: Arena, segments: Segments, settings: AllocatorSettings) -> None:
    """Gives back segments that were not used for longer than others, above the threshold."""
    threshold = int(settings.garbage_collection_threshold * (segments.allowed or 0))
    wanted = segments.levels.reserved - threshold
    while wanted > 0:
        old = _older_than_average(large)
        wanted -= sum(block.size for block in old)
        for block in old:
            segments.release(block)
        if not old:
            return


def _older_than_average(arena: Arena) -> list[Block]:
    """Unused segments whose age, in searches of the arena, is at least the average."""
    free = [block for pool in arena.in_order() for _, _, block in pool.free]
    unused = [block for block in free if block.is_whole and block.reservation is None]
    ages = [arena.searches - block.age_base for block in unused]
    return [block for block, age in zip(unused, ages, strict=True) if age * len(ages) >= sum(ages)]


def release_oversize(
    pool: StreamPool, size: int, segments: Segments, settings: AllocatorSettings
) -> bool:
    """Gives back oversize blocks of a pool until as much is free as a request needs.

    Returns:
        whether that could be done.
    """
    if settings.max_split_bytes is None:
        return False
    wanted = max(size, settings.max_split_bytes)
    chosen = _enough(pool, wanted, settings.max_split_bytes)
    for block in chosen:
        segments.release(block)
    return sum(block.size for block in chosen) >= wanted


def _enough(pool: StreamPool, wanted: int, oversize: int) -> list[Block]:
    """The smallest block that is large enough, else the largest ones until they are together."""
    place = bisect_left(pool.free, (wanted,))
    if place < len(pool.free) and pool.free[place][2].reservation is None:
        return [pool.free[place][2]]
    chosen: list[Block] = []
    for size, _, block in reversed(pool.free[:place]):
        if sum(block.size for block in chosen) >= wanted or size < oversize:
            break
        if block.reservation is None:
            chosen.append(block)
    return chosen

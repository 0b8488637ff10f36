"""The choice among free blocks, and what some settings forbid of it."""

from __future__ import annotations

from bisect import bisect_left

from memprof.predict.allocator.blocks import Block, StreamPool
from memprof.predict.allocator.settings import AllocatorSettings


def restricted_best_fit(pool: StreamPool, size: int, settings: AllocatorSettings) -> int | None:
    """The place of the free block for `size` where expandable or oversize blocks need care."""
    free = pool.free
    place = bisect_left(free, (size,))
    if settings.expandable_segments:
        place = _with_least_room_to_grow(pool, place)
    else:
        while place < len(free) and free[place][2].reservation is not None:
            place += 1
    if place >= len(free):
        return None
    return place if _may_serve(free[place][2], size, settings) else None


def _with_least_room_to_grow(pool: StreamPool, place: int) -> int:
    """Goes on while the next block could grow to less: growing room is kept for large requests."""
    free = pool.free
    while (
        place + 1 < len(free)
        and free[place][2].reservation is not None
        and _room(free[place + 1][2]) < _room(free[place][2])
    ):
        place += 1
    return place


def _room(block: Block) -> int:
    """What a block could grow to without moving."""
    after = block.after
    return block.size + (after.size if after is not None and not after.mapped else 0)


def _may_serve(block: Block, size: int, settings: AllocatorSettings) -> bool:
    """Keeps oversize blocks, which are never split, for requests of about their size."""
    if settings.max_split_bytes is None:
        return True
    if size < settings.max_split_bytes:
        return block.size < settings.max_split_bytes
    return block.size < size + settings.max_non_split_rounding_bytes

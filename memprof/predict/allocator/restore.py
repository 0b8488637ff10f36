"""A state put into an allocator that has none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from memprof.predict.allocator.allocator import CachingAllocator
from memprof.predict.allocator.blocks import DEFAULT_POOL, Block, PoolId, Reservation, StreamPool
from memprof.predict.allocator.segments import AMPLE
from memprof.predict.allocator.sizes import SMALL_SEGMENT, round_up
from memprof.predict.allocator.states import SegmentState

#: Mapped ranges of one stream that are farther apart than this are different segments.
FARTHEST: Final = 8 << 30


def restore(allocator: CachingAllocator, segments: Sequence[SegmentState]) -> None:
    """Puts segments and their blocks into an allocator that has none.

    Blocks that wait for streams are held like all others.
    """
    for state in segments:
        if not state.expandable:
            _add(allocator, _link(_new_blocks(allocator, state)))
    for ranges in _reservations(segments):
        _add(allocator, _reserved(allocator, ranges))
    if any(state.expandable for state in segments):
        allocator.any_block_may_serve = False


def _new_blocks(allocator: CachingAllocator, state: SegmentState) -> list[Block]:
    """The blocks of a segment, those that are used noted as such."""
    private = state.pool_id != DEFAULT_POOL
    home = allocator.private.held(state.pool_id) if private else allocator
    pool = (home.small if state.small else home.large).pool(state.stream)
    allocator.segments.count(pool, state.size)
    blocks = []
    for address, size, requested, use in state.blocks:
        block = Block(address, size, pool)
        if use != "inactive":
            allocator.hold(block, requested)
        blocks.append(block)
    return blocks


def _link(blocks: list[Block]) -> list[Block]:
    for block, following in pairwise(blocks):
        block.after, following.before = following, block
    return blocks


def _add(allocator: CachingAllocator, blocks: list[Block]) -> None:
    """Puts those blocks that nobody holds into their pools."""
    for block in blocks:
        if not block.mapped:
            block.pool.put(block)
        elif block.address not in allocator.live:
            allocator.segments.put(block)


def _reservations(segments: Sequence[SegmentState]) -> list[list[SegmentState]]:
    """Puts mapped ranges together that must be of one expandable segment."""
    found: list[list[SegmentState]] = []
    for state in sorted(segments, key=lambda state: (_kind(state), state.address)):
        if not state.expandable:
            continue
        last = found[-1][-1] if found else None
        if last and _kind(last) == _kind(state) and state.address - last.address < FARTHEST:
            found[-1].append(state)
        else:
            found.append([state])
    return found


def _kind(state: SegmentState) -> tuple[PoolId, bool, int]:
    return state.pool_id, state.small, state.stream


def _reserved(allocator: CachingAllocator, ranges: list[SegmentState]) -> list[Block]:
    """The blocks of an expandable segment, with what is not mapped before, between, behind them."""
    page = SMALL_SEGMENT if ranges[0].small else allocator.settings.large_segment_bytes
    base = ranges[0].address if ranges[0].base is None else ranges[0].base
    last = ranges[-1].address + ranges[-1].size
    reservation = Reservation(base, round_up(last + AMPLE - base, page), page)
    blocks: list[Block] = []
    for state in ranges:
        mapped = _new_blocks(allocator, state)
        blocks += _hole(blocks[-1].end if blocks else base, state.address, mapped[0].pool)
        blocks += mapped
    blocks += _hole(last, base + reservation.size, blocks[-1].pool)
    for block in blocks:
        block.reservation = reservation
    return _link(blocks)


def _hole(begin: int, end: int, pool: StreamPool) -> list[Block]:
    if begin == end:
        return []
    hole = Block(begin, end - begin, pool)
    hole.mapped = False
    return [hole]

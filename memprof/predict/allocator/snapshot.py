"""The allocator's state, taken out as plain values, and put into a new one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from memprof.predict.allocator.allocator import CachingAllocator
from memprof.predict.allocator.blocks import DEFAULT_POOL, Arena, Block, PoolId, Reservation
from memprof.predict.allocator.segments import AMPLE
from memprof.predict.allocator.sizes import SMALL_SEGMENT, round_up
from memprof.predict.allocator.states import BlockState, SegmentState, Use

#: Mapped ranges of one stream that are farther apart than this are different segments.
FARTHEST: int = 8 << 30


def segment_map(allocator: CachingAllocator) -> tuple[SegmentState, ...]:
    """Gives all segments with their blocks, by address."""
    heads = (block for block in _blocks(allocator) if _begins_a_range(block))
    return tuple(
        _segment(head, allocator.live) for head in sorted(heads, key=lambda block: block.address)
    )


def arenas(allocator: CachingAllocator) -> Iterator[Arena]:
    """All arenas: the default two, and those of private pools."""
    yield allocator.small
    yield allocator.large
    for pool in allocator.private.pools.values():
        yield pool.small
        yield pool.large


def _blocks(allocator: CachingAllocator) -> Iterator[Block]:
    yield from allocator.live.values()
    yield from allocator.uses.waiting
    for arena in arenas(allocator):
        for pool in arena.pools.values():
            yield from (block for _, _, block in pool.free)


def _begins_a_range(block: Block) -> bool:
    return block.before is None or not block.before.mapped


def _segment(head: Block, live: Mapping[int, Block]) -> SegmentState:
    states = []
    block: Block | None = head
    while block is not None and block.mapped:
        states.append(_state(block, live))
        block = block.after
    return SegmentState(
        address=head.address,
        size=sum(state.size for state in states),
        stream=head.pool.stream,
        small=head.pool.arena.small,
        blocks=tuple(states),
        pool_id=head.pool.arena.owner,
        expandable=head.reservation is not None,
    )


def _state(block: Block, live: Mapping[int, Block]) -> BlockState:
    if block.free:
        return BlockState(block.address, block.size, 0, "inactive")
    use: Use = "active_allocated" if block.address in live else "active_pending_free"
    return BlockState(block.address, block.size, block.requested, use)


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
    home = allocator.private.pool(state.pool_id) if private else allocator
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
    """The blocks of an expandable segment, what is not mapped between and behind them too."""
    page = SMALL_SEGMENT if ranges[0].small else allocator.settings.large_segment_bytes
    begin = ranges[0].address
    end = (
        round_up(ranges[-1].address + ranges[-1].size - begin, page) + begin + round_up(AMPLE, page)
    )
    reservation = Reservation(begin, end - begin, page)
    blocks: list[Block] = []
    for state, following in zip(ranges, [*ranges[1:], None], strict=True):
        blocks += _new_blocks(allocator, state)
        hole = Block(state.address + state.size, 0, blocks[-1].pool)
        hole.size = (following.address if following else end) - hole.address
        hole.mapped = False
        blocks.append(hole)
    for block in blocks:
        block.reservation = reservation
    return _link(blocks)

"""The allocator's state, taken out as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from memprof.predict.allocator.allocator import CachingAllocator
from memprof.predict.allocator.blocks import Arena, Block
from memprof.predict.allocator.states import BlockState, SegmentState, Use


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
        base=head.reservation.address if head.reservation else None,
    )


def _state(block: Block, live: Mapping[int, Block]) -> BlockState:
    if block.free:
        return BlockState(block.address, block.size, 0, "inactive")
    use: Use = "active_allocated" if block.address in live else "active_pending_free"
    return BlockState(block.address, block.size, block.requested, use)

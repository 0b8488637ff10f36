"""The state before the first event of a recording, found by undoing its events from the end.

PyTorch keeps the most recent events only, and the state after them. Before an event the state
differs from that after it in one block or one segment, so that a recording that starts midway says
as much as a complete one. What an event leaves out is the size of a freed block: it tells only
how much was requested. The rest follows from the rules of splitting, see `_widen`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from memprof.predict.allocator.blocks import DEFAULT_POOL, PoolId
from memprof.predict.allocator.restore import FARTHEST
from memprof.predict.allocator.settings import AllocatorSettings
from memprof.predict.allocator.sizes import SMALL_REQUEST, SMALL_SEGMENT, rounded_request
from memprof.predict.allocator.states import BlockState, SegmentState
from memprof.predict.replay.recording import Action, Event, Recording


class ContradictionError(Exception):
    """An event cannot have led to the state that was recorded after it.

    Attributes:
        event: its number.
    """

    def __init__(self, event: int) -> None:
        super().__init__(event)
        self.event = event


def state_before(recording: Recording) -> tuple[SegmentState, ...]:
    """Gives the segments and blocks that were there before the first event.

    Raises:
        ContradictionError: if an event contradicts the state after it.
    """
    past = _Past(recording.segments, recording.settings)
    for number in range(len(recording.events) - 1, -1, -1):
        event = recording.events[number]
        undo = _UNDO.get(event.action)
        if undo is not None and not undo(past, event):
            raise ContradictionError(number)
    return past.segments()


@dataclass(slots=True)
class _Range:
    """A segment without its blocks."""

    address: int
    end: int
    stream: int
    small: bool
    pool_id: PoolId = DEFAULT_POOL
    expandable: bool = False

    @property
    def kind(self) -> tuple[PoolId, bool, int]:
        """What ranges of one expandable segment have in common."""
        return self.pool_id, self.small, self.stream


class _Past:
    """Segments and used blocks at a moment that moves backwards; what is not used is free."""

    def __init__(self, segments: tuple[SegmentState, ...], settings: AllocatorSettings) -> None:
        self._settings = settings
        self._ranges: dict[int, _Range] = {}
        self._used: dict[int, BlockState] = {}
        for state in segments:
            end = state.address + state.size
            self._ranges[state.address] = _Range(
                state.address, end, state.stream, state.small, state.pool_id, state.expandable
            )
            self._used.update((b.address, b) for b in state.blocks if b.use != "inactive")
        self._mapped: dict[tuple[PoolId, bool, int], list[int]] = {}
        self._begins = sorted(self._ranges)
        self._addresses = sorted(self._used)

    def segments(self) -> tuple[SegmentState, ...]:
        """The state as values."""
        return tuple(
            SegmentState(
                found.address,
                found.end - found.address,
                found.stream,
                found.small,
                self._blocks(found),
                found.pool_id,
                found.expandable,
                self._base(found),
            )
            for found in map(self._ranges.__getitem__, self._begins)
        )

    def undo_alloc(self, event: Event) -> bool:
        block = self._used.pop(event.address, None)
        if block is None or block.requested != event.size:
            return False
        del self._addresses[bisect_left(self._addresses, event.address)]
        return True

    def undo_free(self, event: Event) -> bool:
        """The block was still used, if only by another stream."""
        found = self._range_at(event.address)
        if found is None or event.address in self._used:
            return False
        size = rounded_request(event.size, self._settings)
        if size > self._next_used(event.address, found) - event.address:
            return False
        self._used[event.address] = BlockState(
            event.address, size, event.size, "active_pending_free"
        )
        place = bisect_left(self._addresses, event.address)
        self._addresses.insert(place, event.address)
        self._widen(event.address, found)
        if place and self._addresses[place - 1] >= found.address:
            self._widen(self._addresses[place - 1], found)
        return True

    def undo_free_request(self, event: Event) -> bool:
        block = self._used.get(event.address)
        if block is not None:
            self._used[event.address] = block._replace(use="active_allocated")
        return block is not None

    def undo_segment_alloc(self, event: Event) -> bool:
        found = self._ranges.get(event.address)
        if found is None or found.end - found.address != event.size or self._in_use(found):
            return False
        self._remove(found)
        return True

    def undo_segment_free(self, event: Event) -> bool:
        small = event.size == SMALL_SEGMENT
        return self._insert(_Range(event.address, event.address + event.size, event.stream, small))

    def undo_map(self, event: Event) -> bool:
        """Takes the pages out of the range that holds them."""
        found, end = self._range_at(event.address), event.address + event.size
        if found is None or end > found.end:
            return False
        self._mapped.setdefault(found.kind, []).append(event.address)
        self._remove(found)
        for begin, stop in ((found.address, event.address), (end, found.end)):
            if begin < stop:
                self._insert(_Range(begin, stop, found.stream, found.small, found.pool_id, True))
        return self._next_used(event.address, _Range(event.address, end, 0, False)) == end

    def undo_unmap(self, event: Event) -> bool:
        """Puts the pages back, as one with the ranges they touch."""
        begin, end = event.address, event.address + event.size
        before, after = self._range_at(begin - 1), self._ranges.get(end)
        model = before if before is not None and before.stream == event.stream else after
        if model is None or model.stream != event.stream:
            page = self._settings.large_segment_bytes
            model = _Range(begin, end, event.stream, event.size % page != 0, expandable=True)
        for neighbour in (before, after):
            if neighbour is not None and _alike(neighbour, model):
                self._remove(neighbour)
                begin, end = min(begin, neighbour.address), max(end, neighbour.end)
        return self._insert(
            _Range(begin, end, model.stream, model.small, model.pool_id, expandable=True)
        )

    def _widen(self, address: int, found: _Range) -> None:
        """Gives a used block what lies behind it and cannot be a free block.

        Of a freed block only the request is known. Where less than a whole block would be left
        of the block that served it, that was not split: rests of the small pool and of expandable
        segments are split off from 512 B, those of other large blocks only above 1 MiB, and those
        of oversize blocks never.
        """
        if found.small or self._settings.expandable_segments:
            return
        block = self._used[address]
        rest = self._next_used(address + 1, found) - address - block.size
        limit = self._settings.max_split_bytes
        if rest <= SMALL_REQUEST or (limit is not None and block.size >= limit):
            self._used[address] = block._replace(size=block.size + rest)

    def _base(self, found: _Range) -> int | None:
        """The lowest page that was ever mapped of the expandable segment around a range."""
        if not found.expandable:
            return None
        below = (a for a in self._mapped.get(found.kind, ()) if 0 < found.address - a < FARTHEST)
        return min(below, default=found.address)

    def _range_at(self, address: int) -> _Range | None:
        place = bisect_right(self._begins, address) - 1
        found = self._ranges[self._begins[place]] if place >= 0 else None
        return found if found is not None and address < found.end else None

    def _next_used(self, address: int, found: _Range) -> int:
        """Where the next used block begins, or the segment ends."""
        place = bisect_left(self._addresses, address)
        following = self._addresses[place] if place < len(self._addresses) else found.end
        return min(following, found.end)

    def _in_use(self, found: _Range) -> bool:
        return self._next_used(found.address, found) < found.end

    def _insert(self, found: _Range) -> bool:
        place = bisect_left(self._begins, found.address)
        if place < len(self._begins) and self._begins[place] < found.end:
            return False
        if self._range_at(found.address) is not None:
            return False
        self._begins.insert(place, found.address)
        self._ranges[found.address] = found
        return True

    def _remove(self, found: _Range) -> None:
        del self._ranges[found.address]
        del self._begins[bisect_left(self._begins, found.address)]

    def _blocks(self, found: _Range) -> tuple[BlockState, ...]:
        """The used blocks of a segment, and the free ones between them."""
        blocks = []
        begin = found.address
        for place in range(bisect_left(self._addresses, begin), len(self._addresses)):
            block = self._used[self._addresses[place]]
            if block.address >= found.end:
                break
            if block.address > begin:
                blocks.append(BlockState(begin, block.address - begin, 0, "inactive"))
            blocks.append(block)
            begin = block.address + block.size
        if begin < found.end:
            blocks.append(BlockState(begin, found.end - begin, 0, "inactive"))
        return tuple(blocks)


def _alike(one: _Range, other: _Range) -> bool:
    return one.expandable and one.kind == other.kind


_UNDO: Mapping[Action, Callable[[_Past, Event], bool]] = {
    Action.ALLOC: _Past.undo_alloc,
    Action.FREE_COMPLETED: _Past.undo_free,
    Action.FREE_REQUESTED: _Past.undo_free_request,
    Action.SEGMENT_ALLOC: _Past.undo_segment_alloc,
    Action.SEGMENT_FREE: _Past.undo_segment_free,
    Action.SEGMENT_MAP: _Past.undo_map,
    Action.SEGMENT_UNMAP: _Past.undo_unmap,
}

"""Recordings such as PyTorch makes, of random programs on the slow reference allocator."""

from __future__ import annotations

from collections.abc import Iterator

from memprof.predict.allocator import BlockState, SegmentState, parse_settings
from memprof.predict.replay import Action, Event, Recording
from tests.predict.allocator.programs import random_program
from tests.predict.allocator.reference import OutOfMemoryError, ReferenceAllocator, Rules, Segment


class Recorder:
    """Runs a program and notes what PyTorch would."""

    def __init__(self, rules: Rules) -> None:
        self.allocator = ReferenceAllocator(rules)
        self.events: list[Event] = []
        self._addresses: list[int | None] = []

    def run(self, seed: int, length: int = 300, streams: int = 2) -> None:
        for action, number, stream in random_program(seed, length, streams):
            if action == "malloc":
                self._addresses.append(self._malloc(number, stream))
            elif action == "empty_cache":
                self.allocator.empty_cache()
                self._note_device()
            elif self._addresses[number] is not None:
                self._free(self._addresses[number])

    def recording(self, settings: str, skipped: int = 0) -> Recording:
        """What is left when the first `skipped` events have been overwritten."""
        segments = sorted(self._states(), key=lambda state: state.address)
        return Recording(0, self.events[skipped:], tuple(segments), parse_settings(settings))

    def _malloc(self, nbytes: int, stream: int) -> int | None:
        try:
            address = self.allocator.malloc(nbytes, stream)
        except OutOfMemoryError:
            self._note_device()
            free = self.allocator.rules.capacity - self.allocator.reserved
            size = self.allocator.rounded(nbytes)
            self.events.append(Event(Action.OOM, int(free), size, stream))
            return None
        self._note_device()
        self.events.append(Event(Action.ALLOC, address, nbytes, stream))
        return address

    def _free(self, address: int) -> None:
        nbytes = self.allocator.used[address][1]
        stream = self._segment_at(address).stream
        self.allocator.free(address)
        for action in (Action.FREE_REQUESTED, Action.FREE_COMPLETED):
            self.events.append(Event(action, address, nbytes, stream))

    def _segment_at(self, address: int) -> Segment:
        return next(s for s in self.allocator.segments if s.address <= address < s.end)

    def _note_device(self) -> None:
        """Notes what was asked of the device since the last call."""
        log = self.allocator.log
        self.events += [Event(Action[name.upper()], *rest) for name, *rest in log]
        log.clear()

    def _states(self) -> Iterator[SegmentState]:
        used = self.allocator.used
        for segment in self.allocator.segments:
            free = [(a, b) for a, b, mapped in segment.runs(used) if mapped]
            for first, count in _ranges(segment.mapped):
                begin = segment.address + first * segment.page
                end = begin + count * segment.page
                blocks = [
                    *(BlockState(a, b - a, 0, "inactive") for a, b in free if begin <= a < end),
                    *(
                        BlockState(a, size, nbytes, "active_allocated")
                        for a, (size, nbytes) in used.items()
                        if begin <= a < end
                    ),
                ]
                yield SegmentState(
                    begin,
                    end - begin,
                    segment.stream,
                    segment.small,
                    tuple(sorted(blocks)),
                    expandable=not segment.plain,
                )


def recorded(settings: str, rules: Rules, seed: int, skipped: int = 0) -> Recording:
    """Gives a recording of one random program."""
    recorder = Recorder(rules)
    recorder.run(seed)
    return recorder.recording(settings, skipped)


def _ranges(pages: set[int]) -> Iterator[tuple[int, int]]:
    """(first, count) of pages that follow one another."""
    ordered = sorted(pages)
    begin = 0
    for place in range(1, len(ordered) + 1):
        if place == len(ordered) or ordered[place] != ordered[place - 1] + 1:
            yield ordered[begin], place - begin
            begin = place

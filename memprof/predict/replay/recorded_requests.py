"""From a recording's events to the requests that caused them, and the device's part in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memprof.predict.allocator.states import SegmentState
from memprof.predict.replay.recording import Action, Event, Recording
from memprof.predict.replay.requests import Requests

_OF_BLOCKS = frozenset({Action.ALLOC, Action.FREE_COMPLETED, Action.OOM})
_RELEASES = frozenset({Action.SEGMENT_FREE, Action.SEGMENT_UNMAP})


@dataclass(frozen=True, slots=True)
class RecordedRequests:
    """Requests, and what was recorded of each.

    Attributes:
        requests: allocation 0, 1, ... are those that were held before, by address. One that
            failed is freed at once, so that a replay in which it is served can go on.
        addresses: by allocation; -1 of those that failed.
        caused: by place in the requests, the device's events in its course.
        events: by place in the requests, the number of its event.
    """

    requests: Requests
    addresses: Sequence[int]
    caused: dict[int, list[Event]]
    events: Sequence[int]


def recorded_requests(recording: Recording, before: tuple[SegmentState, ...]) -> RecordedRequests:
    """Reads the requests of a recording, whose state at its beginning was `before`."""
    reader = _Reader(before)
    for number, event in enumerate(recording.events):
        if event.action in _OF_BLOCKS:
            reader.request(number, event)
        elif event.action is not Action.FREE_REQUESTED:
            reader.device.append(event)
    return reader.finish(len(recording.events))


class _Reader:
    def __init__(self, before: tuple[SegmentState, ...]) -> None:
        used = [
            (block, segment)
            for segment in before
            for block in segment.blocks
            if block.use != "inactive"
        ]
        used.sort(key=lambda pair: pair[0].address)
        self.device: list[Event] = []
        self._subjects: list[int] = []
        self._events: list[int] = []
        self._times: list[int] = []
        self._nbytes = [block.requested for block, _ in used]
        self._streams = [segment.stream for _, segment in used]
        self._addresses = [block.address for block, _ in used]
        self._held = {address: number for number, address in enumerate(self._addresses)}
        self._caused: dict[int, list[Event]] = {}
        self._empty_cache: list[int] = []

    def request(self, number: int, event: Event) -> None:
        """Notes an event of a block, and with it those of the device since the last one."""
        self._attribute(event)
        if event.action is Action.FREE_COMPLETED:
            self._add(~self._held.pop(event.address), number, event)
            return
        failed = event.action is Action.OOM
        allocation = len(self._nbytes)
        self._nbytes.append(event.size)
        self._streams.append(event.stream)
        self._addresses.append(-1 if failed else event.address)
        self._add(allocation, number, event)
        if failed:
            self._add(~allocation, number, event)
        else:
            self._held[event.address] = allocation

    def _attribute(self, event: Event) -> None:
        """Gives the device's events to the request that caused them.

        What was released before anything but a request for new memory was released by
        `empty_cache`.
        """
        if event.action is Action.OOM:
            self.device.append(event)
        if not self.device:
            return
        place = len(self._subjects)
        if event.action is not Action.OOM and self.device[-1].action in _RELEASES:
            self._empty_cache.append(place)
        self._caused[place] = self.device
        self.device = []

    def _add(self, subject: int, number: int, event: Event) -> None:
        self._subjects.append(subject)
        self._events.append(number)
        self._times.append(event.time_us * 1000)

    def finish(self, events: int) -> RecordedRequests:
        """Gives what was read; what the device did last, nothing but `empty_cache` explains."""
        if self.device:
            self._caused[len(self._subjects)] = self.device
            self._empty_cache.append(len(self._subjects))
        self._events.append(events)
        requests = Requests(
            self._subjects,
            self._nbytes,
            self._streams,
            empty_cache=self._empty_cache,
            time_ns=self._times,
        )
        return RecordedRequests(requests, self._addresses, self._caused, self._events)

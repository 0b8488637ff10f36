"""From a recording's events to the requests that caused them, and the device's part in each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from memprof.predict.allocator.blocks import DEFAULT_POOL, PoolId
from memprof.predict.allocator.states import SegmentState
from memprof.predict.replay.player import Ints
from memprof.predict.replay.recording import GROWTH, RELEASES, Action, Event, Recording
from memprof.predict.replay.requests import Requests

_OF_BLOCKS = frozenset({Action.ALLOC, Action.FREE_COMPLETED, Action.OOM})


@dataclass(frozen=True)
class RecordedRequests:
    """Requests, and what was recorded of each.

    Attributes:
        requests: allocation 0, 1, ... are those that were held before, by address. One that
            failed is freed at once, so that a replay in which it is served can go on.
        addresses: by allocation; -1 of those that failed.
        caused: by place in the requests, the device's events in its course.
        events: by place in the requests, the number of its event.
        reserved: bytes after each request, by the device's events alone.
    """

    requests: Requests
    addresses: Sequence[int]
    caused: Mapping[int, Sequence[Event]]
    events: Sequence[int]
    reserved: Ints

    @cached_property
    def made_by(self) -> Sequence[int]:
        """For each allocation the number of its event, 0 for those held before."""
        made = [0] * len(self.addresses)
        for place, subject in enumerate(self.requests.subjects):
            if subject >= 0:
                made[subject] = self.events[place]
        return made

    def emptied_at(self, places: Iterable[int]) -> Requests:
        """Gives the requests with `empty_cache` where a program must have called it.

        What was given back for the sake of a request belongs to the device it ran short on, and
        is left out: unless as much was reserved at another time, so that it was not short.
        """
        most = int(self.reserved.max(initial=0))
        enough = (
            place
            for place, caused in self.caused.items()
            if caused[0].action in RELEASES and self._needed(place, caused) <= most
        )
        return replace(self.requests, empty_cache=sorted({*places, *enough}))

    def _needed(self, place: int, caused: Sequence[Event]) -> int:
        """Bytes that would have been reserved had nothing been given back."""
        grown = sum(event.size for event in caused if GROWTH.get(event.action, 0) > 0)
        before = int(self.reserved[place - 1]) if place else 0
        return before + (grown or 1 << 62)


def recorded_requests(recording: Recording, before: tuple[SegmentState, ...]) -> RecordedRequests:
    """Reads the requests of a recording, whose state at its beginning was `before`."""
    reader = _Reader(before, _private_ranges([*before, *recording.segments]))
    for number, event in enumerate(recording.events):
        if event.action in _OF_BLOCKS:
            reader.request(number, event)
        elif event.action is not Action.FREE_REQUESTED:
            reader.device.append(event)
    reader.attribute(Action.FREE_COMPLETED)
    return reader.finish(len(recording.events), sum(state.size for state in before))


def _private_ranges(segments: Iterable[SegmentState]) -> list[SegmentState]:
    """The segments of private pools: an allocation inside one was sent to its pool."""
    private = {state.address: state for state in segments if state.pool_id != DEFAULT_POOL}
    return [private[address] for address in sorted(private)]


class _Reader:
    """Numbers allocations and keeps the device's events for the request that caused them."""

    def __init__(self, before: Iterable[SegmentState], private: list[SegmentState]) -> None:
        self.device: list[Event] = []
        self._private = private
        self._begins = [state.address for state in private]
        self._subjects: list[int] = []
        self._nbytes: list[int] = []
        self._streams: list[int] = []
        self._addresses: list[int] = []
        self._pools: dict[int, PoolId] = {}
        self._events: list[int] = []
        self._times: list[int] = []
        self._caused: dict[int, list[Event]] = {}
        self._emptied: list[int] = []
        self._held: dict[int, int] = {}
        for segment in before:
            for block in segment.blocks:
                if block.use != "inactive":
                    self._number(block.address, block.requested, segment.stream)

    def request(self, number: int, event: Event) -> None:
        """Notes an event of a block, and with it those of the device since the last one."""
        if event.action is Action.OOM:
            self.device.append(event)
        self.attribute(event.action)
        if event.action is Action.FREE_COMPLETED:
            self._add(~self._held.pop(event.address), number, event)
            return
        failed = event.action is Action.OOM
        allocation = self._number(-1 if failed else event.address, event.size, event.stream)
        self._add(allocation, number, event)
        if failed:
            self._add(~allocation, number, event)

    def attribute(self, following: Action) -> None:
        """Gives the device's events to the request that follows them.

        What was given back without any request for new memory, only `empty_cache` gave back.
        """
        if not self.device:
            return
        place = len(self._subjects)
        if following is not Action.OOM and self.device[-1].action in RELEASES:
            self._emptied.append(place)
        self._caused[place] = self.device
        self.device = []

    def finish(self, events: int, reserved: int) -> RecordedRequests:
        """Gives what was read; `reserved` bytes were there at the beginning."""
        grown = np.zeros(len(self._subjects) + 1, np.int64)
        for place, caused in self._caused.items():
            grown[place] = sum(GROWTH.get(event.action, 0) * event.size for event in caused)
        requests = Requests(
            self._subjects, self._nbytes, self._streams, self._pools, self._emptied, self._times
        )
        return RecordedRequests(
            requests,
            self._addresses,
            self._caused,
            [*self._events, events],
            (reserved + np.cumsum(grown))[:-1],
        )

    def _number(self, address: int, requested: int, stream: int) -> int:
        """Gives the next number to an allocation."""
        number = len(self._nbytes)
        self._nbytes.append(requested)
        self._streams.append(stream)
        self._addresses.append(address)
        if address >= 0:
            self._held[address] = number
        place = bisect_right(self._begins, address) - 1
        if place >= 0 and address < self._begins[place] + self._private[place].size:
            self._pools[number] = self._private[place].pool_id
        return number

    def _add(self, subject: int, number: int, event: Event) -> None:
        self._subjects.append(subject)
        self._events.append(number)
        self._times.append(event.time_us * 1000)

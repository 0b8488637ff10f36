"""A device that answers as the recorded one did, and notes where the model asks otherwise."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable

from memprof.predict.allocator.device import SimulatedDevice
from memprof.predict.allocator.states import SegmentState
from memprof.predict.replay.recording import Action, Event, described

#: What the model asks for beside the recording lies here, away from all that was recorded.
ELSEWHERE = 1 << 50


class RecordedDevice:
    """Gives the addresses that the recorded device gave, and fails where that one failed.

    Args:
        differs: is told what the model did and what was recorded instead.
        held: the segments that the model has already.
        caused: all events of the device, by request.
    """

    def __init__(
        self,
        differs: Callable[[str, str], None],
        held: Iterable[SegmentState],
        caused: Iterable[Iterable[Event]],
    ) -> None:
        self._differs = differs
        events = (event for events in caused for event in events)
        self._maps = deque(event for event in events if event.action is Action.SEGMENT_MAP)
        self._expected: deque[Event] = deque()
        self._elsewhere = SimulatedDevice(top=ELSEWHERE)
        ranges = [(state.address, state.address + state.size) for state in held]
        self._held = sorted(ranges)
        self._reached = dict(ranges)

    def expect(self, events: Iterable[Event]) -> None:
        """Takes the events of the device that the next request caused."""
        self._expected = deque(events)

    def settle(self, *, failed: bool) -> None:
        """Notes the expected events that the model did not cause.

        Args:
            failed: whether the model's request failed.
        """
        recorded = bool(self._expected) and self._expected[-1].action is Action.OOM
        if recorded and failed:
            self._expected.pop()
        elif failed:
            self._differs("out of memory", "a request that was served")
        while self._expected:
            self._differs("nothing", described(self._take()))

    def allocate(self, nbytes: int, stream: int, small: bool) -> int | None:
        """Gives the address of the recorded segment; None where the recorded device had none."""
        if self._expected and self._expected[0].action in (Action.SEGMENT_FREE, Action.OOM):
            return None
        event = self._next(Action.SEGMENT_ALLOC, nbytes, stream)
        if event is None or self._is_held(event.address, nbytes):
            return self._elsewhere.allocate(nbytes, stream, small)
        insort(self._held, (event.address, event.address + nbytes))
        return event.address

    def release(self, address: int, nbytes: int, stream: int) -> None:
        """Holds a released segment against the recorded one."""
        self._next(Action.SEGMENT_FREE, nbytes, stream, address)
        if address < ELSEWHERE // 2:
            self._held.remove((address, address + nbytes))

    def _is_held(self, address: int, nbytes: int) -> bool:
        """Whether the model, having missed a release, still holds memory there."""
        place = bisect_left(self._held, (address + nbytes,))
        return place > 0 and self._held[place - 1][1] > address

    def reserve(self, nbytes: int, stream: int, small: bool) -> int:
        """Gives the address at which pages are first mapped outside the segments that there are.

        That can be in the course of a later request, where there is no memory for this one.
        """
        for event in self._maps:
            if event.stream == stream and self._reservation_at(event.address) is None:
                self._reached[event.address] = event.address
                return event.address
        return self._elsewhere.reserve(nbytes, stream, small)

    def unreserve(self, address: int) -> None:
        """Lets the addresses be reserved again."""
        self._reached.pop(address, None)

    def map(self, address: int, nbytes: int, stream: int) -> bool:
        """Maps pages where the recorded device did."""
        if self._expected and self._expected[0].action in (Action.SEGMENT_UNMAP, Action.OOM):
            return False
        self._next(Action.SEGMENT_MAP, nbytes, stream, address)
        begin = self._reservation_at(address)
        if begin is not None:
            self._reached[begin] = max(self._reached[begin], address + nbytes)
        return True

    def unmap(self, address: int, nbytes: int, stream: int) -> None:
        """Holds unmapped pages against the recorded ones."""
        self._next(Action.SEGMENT_UNMAP, nbytes, stream, address)

    def _reservation_at(self, address: int) -> int | None:
        """The expandable segment that reaches up to an address, by its own address."""
        found = (begin for begin, end in self._reached.items() if begin <= address <= end)
        return next(found, None)

    def _next(
        self, action: Action, nbytes: int, stream: int, address: int | None = None
    ) -> Event | None:
        """Takes the next expected event; None if it is another one than the model caused."""
        event = self._expected[0] if self._expected else None
        same = event is not None and (event.action, event.size, event.stream) == (
            action,
            nbytes,
            stream,
        )
        if event is not None and same and address in (None, event.address):
            return self._take()
        model = Event(action, address or 0, nbytes, stream)
        self._differs(described(model), "nothing" if event is None else described(event))
        return None

    def _take(self) -> Event:
        event = self._expected.popleft()
        if event.action is Action.SEGMENT_MAP:
            self._maps.popleft()
        return event

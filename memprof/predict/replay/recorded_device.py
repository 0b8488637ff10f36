"""A device that answers as the recorded one did, and notes where the model asks otherwise."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable

from memprof.predict.allocator.device import SimulatedDevice
from memprof.predict.allocator.states import SegmentState
from memprof.predict.replay.recording import Action, Event

#: What the model asks for beside the recording lies here, away from all that was recorded.
ELSEWHERE = 1 << 50


class RecordedDevice:
    """Gives the addresses that the recorded device gave, and fails where that one failed.

    Args:
        differs: is told what the model did and what was recorded instead.
        held: the segments that the model has already.
    """

    def __init__(
        self, differs: Callable[[str, str], None], held: Iterable[SegmentState] = ()
    ) -> None:
        self._differs = differs
        self._expected: deque[Event] = deque()
        self._elsewhere = SimulatedDevice(top=ELSEWHERE)
        self._held = sorted((state.address, state.address + state.size) for state in held)

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
            self._differs("nothing", _text(self._expected.popleft()))

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
        """Gives the address at which pages are mapped next."""
        for event in self._expected:
            if event.action is Action.SEGMENT_MAP:
                return event.address
        return self._elsewhere.reserve(nbytes, stream, small)

    def map(self, address: int, nbytes: int, stream: int) -> bool:
        """Maps pages where the recorded device did."""
        if self._expected and self._expected[0].action in (Action.SEGMENT_UNMAP, Action.OOM):
            return False
        self._next(Action.SEGMENT_MAP, nbytes, stream, address)
        return True

    def unmap(self, address: int, nbytes: int, stream: int) -> None:
        """Holds unmapped pages against the recorded ones."""
        self._next(Action.SEGMENT_UNMAP, nbytes, stream, address)

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
            return self._expected.popleft()
        model = Event(action, address or 0, nbytes, stream)
        self._differs(_text(model), "nothing" if event is None else _text(event))
        return None


def _text(event: Event) -> str:
    where = f" at {event.address:#x}" if event.address and event.action is not Action.OOM else ""
    return f"{event.action.name.lower()} of {event.size:,} bytes{where}"

"""A device that answers as the recorded one did, and notes where the model asks otherwise."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from memprof.predict.allocator.device import SimulatedDevice
from memprof.predict.replay.recording import Action, Event

#: What the model asks for beside the recording lies here, away from all that was recorded.
ELSEWHERE = 1 << 50


class RecordedDevice:
    """Gives the addresses that the recorded device gave, and fails where that one failed.

    Args:
        differs: is told what the model did and what was recorded instead.
    """

    def __init__(self, differs: Callable[[str, str], None]) -> None:
        self._differs = differs
        self._expected: deque[Event] = deque()
        self._elsewhere = SimulatedDevice(top=ELSEWHERE)

    def expect(self, events: Iterable[Event]) -> None:
        """Takes the events of the device that the next request caused."""
        self._expected = deque(events)

    def settle(self) -> None:
        """Notes the expected events that the model did not cause."""
        while self._expected:
            self._differs("nothing", _text(self._expected.popleft()))

    def allocate(self, nbytes: int, stream: int, small: bool) -> int | None:
        """Gives the address of the recorded segment; None where the recorded device had none."""
        if self._expected and self._expected[0].action in (Action.SEGMENT_FREE, Action.OOM):
            return None
        event = self._next(Action.SEGMENT_ALLOC, nbytes, stream)
        return self._elsewhere.allocate(nbytes, stream, small) if event is None else event.address

    def release(self, address: int, nbytes: int, stream: int) -> None:
        """Holds a released segment against the recorded one."""
        self._next(Action.SEGMENT_FREE, nbytes, stream, address)

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

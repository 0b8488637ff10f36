"""What PyTorch recorded of its allocator on one device: events, and the state at their end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

from memprof.predict.allocator.settings import AllocatorSettings
from memprof.predict.allocator.states import SegmentState


class Action(IntEnum):
    """What an event says. The first three are about blocks, the others about the device."""

    ALLOC = 0
    FREE_REQUESTED = 1
    FREE_COMPLETED = 2
    OOM = 3
    SEGMENT_ALLOC = 4
    SEGMENT_FREE = 5
    SEGMENT_MAP = 6
    SEGMENT_UNMAP = 7


#: What each event of the device does to the reserved bytes.
GROWTH: Final = {
    Action.SEGMENT_ALLOC: 1,
    Action.SEGMENT_MAP: 1,
    Action.SEGMENT_FREE: -1,
    Action.SEGMENT_UNMAP: -1,
}
RELEASES: Final = frozenset({Action.SEGMENT_FREE, Action.SEGMENT_UNMAP})

#: By PyTorch's names; what else it records changes nothing.
ACTIONS: Final = {action.name.lower(): action for action in Action}


class Event(NamedTuple):
    """One event.

    Attributes:
        action: what happened.
        address: of the block or segment; for OOM the bytes that were free on the device.
        size: bytes of a segment; of a block the bytes that were requested.
        stream: the stream's number.
        time_us: wall-clock microseconds; 0 where the version of PyTorch does not note them.
    """

    action: Action
    address: int
    size: int
    stream: int
    time_us: int = 0


@dataclass(frozen=True, slots=True)
class Recording:
    """The memory of one device.

    Attributes:
        device: its number.
        events: the most recent ones, oldest first.
        segments: the state after them, by address.
        settings: of the allocator that was recorded.
    """

    device: int
    events: Sequence[Event]
    segments: tuple[SegmentState, ...]
    settings: AllocatorSettings = field(default_factory=AllocatorSettings)


def described(event: Event) -> str:
    """An event in words."""
    where = "" if event.action is Action.OOM or not event.address else f" at {event.address:#x}"
    return f"{event.action.name.lower()} of {event.size:,} bytes{where}"

"""What PyTorch recorded of its allocator on one device: events, and the state at their end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Literal, NamedTuple

from memprof.predict.allocator.blocks import DEFAULT_POOL, PoolId
from memprof.predict.allocator.settings import AllocatorSettings


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


Use = Literal["active_allocated", "active_pending_free", "inactive"]


class BlockState(NamedTuple):
    """A block at some moment.

    Attributes:
        address, size: where it is, in bytes.
        requested: bytes that were asked for; 0 for a free block.
        use: PyTorch's word for its state.
    """

    address: int
    size: int
    requested: int
    use: Use


@dataclass(frozen=True, slots=True)
class SegmentState:
    """A segment at some moment, or a contiguous mapped range of an expandable one.

    Attributes:
        address, size: where it is, in bytes.
        stream: whose allocations it serves.
        small: whether it is of the pool for requests up to 1 MiB.
        blocks: all of it, by address.
        pool_id: the private pool it belongs to, (0, 0) for none.
        expandable: whether it can grow.
    """

    address: int
    size: int
    stream: int
    small: bool
    blocks: tuple[BlockState, ...]
    pool_id: PoolId = DEFAULT_POOL
    expandable: bool = False


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

"""Segments and blocks at some moment, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from memprof.predict.allocator.blocks import DEFAULT_POOL, PoolId

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
        base: where the expandable segment begins that it is a part of, if that is known.
    """

    address: int
    size: int
    stream: int
    small: bool
    blocks: tuple[BlockState, ...]
    pool_id: PoolId = DEFAULT_POOL
    expandable: bool = False
    base: int | None = None

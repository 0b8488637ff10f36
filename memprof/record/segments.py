"""What lies free in the segments that CUDA's allocator holds, by what it could still serve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_DEFAULT_POOL = (0, 0)
_INACTIVE = "inactive"


@dataclass(slots=True)
class FreeBlocks:
    """Free bytes of one device.

    Attributes:
        graph_pools: in private pools, which CUDA graphs and memory pools keep for themselves.
        fragmented: elsewhere, in blocks that are smaller than the largest block in use.
        largest: of the largest free block outside private pools.
    """

    graph_pools: int = 0
    fragmented: int = 0
    largest: int = 0


def free_blocks(segments: Iterable[Mapping[str, Any]]) -> dict[int, FreeBlocks]:
    """Sorts the free blocks of a memory snapshot's segments, device by device."""
    by_device: dict[int, list[Mapping[str, Any]]] = {}
    for segment in segments:
        by_device.setdefault(segment["device"], []).append(segment)
    return {device: _free_blocks(held) for device, held in by_device.items()}


def _free_blocks(segments: list[Mapping[str, Any]]) -> FreeBlocks:
    found, free, wanted = FreeBlocks(), [], 0
    for segment in segments:
        private = tuple(segment.get("segment_pool_id", _DEFAULT_POOL)) != _DEFAULT_POOL
        for block in segment["blocks"]:
            if block["state"] != _INACTIVE:
                wanted = max(wanted, block["size"])
            elif private:
                found.graph_pools += block["size"]
            else:
                free.append(block["size"])
    found.fragmented = sum(size for size in free if size < wanted)
    found.largest = max(free, default=0)
    return found

"""What the CUDA allocator says of itself, at every phase boundary and on every beat."""

from __future__ import annotations

import inspect
import time
from typing import Any, Final

import torch

from memprof.record.journal import Journal
from memprof.record.segments import free_blocks

_STATISTICS: Final = (
    "requested_bytes",
    "allocated_bytes",
    "active_bytes",
    "reserved_bytes",
    "inactive_split_bytes",
)
#: Looking at every block takes at most this part of the time.
_SHARE: Final = 0.01


class CudaMemory:
    """Samples the allocator's statistics of every CUDA device once the program uses CUDA."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._devices = 0
        self._blocks_due = 0.0
        self._possible = torch._C._has_cuda

    def sample(self) -> None:
        """Notes the statistics of this moment."""
        if not (self._possible and torch.cuda.is_initialized()):  # type: ignore[no-untyped-call]
            return
        if not self._devices:
            self._devices = torch.cuda.device_count()
            self._journal.fact("devices", cuda_devices())
        for index in range(self._devices):
            statistics = torch._C._cuda_memoryStats(index)
            values = {name: statistics[name]["all"]["current"] for name in _STATISTICS}
            self._journal.sample(values, f"cuda:{index}")

    def sample_with_blocks(self) -> None:
        """Notes the statistics and, as often as it is cheap, what lies free in which blocks."""
        self.sample()
        if not self._devices or time.monotonic() < self._blocks_due:
            return
        begun = time.monotonic()
        for index, free in free_blocks(segments()).items():
            values = {
                "graph_pools_free_bytes": free.graph_pools,
                "fragmented_bytes": free.fragmented,
                "largest_free_bytes": free.largest,
            }
            self._journal.sample(values, f"cuda:{index}")
        ended = time.monotonic()
        self._blocks_due = ended + (ended - begun) / _SHARE

    def sample_closely(self) -> None:
        """Notes all of this moment, at any cost."""
        self._blocks_due = 0.0
        self.sample_with_blocks()


def segments() -> list[dict[str, Any]]:
    """Every segment with its blocks, and, where PyTorch can leave it out, no history."""
    snapshot = torch.cuda.memory_snapshot
    can_omit = "include_traces" in inspect.signature(snapshot).parameters
    options = {"include_traces": False} if can_omit else {}
    found: list[dict[str, Any]] = snapshot(**options)  # type: ignore[no-untyped-call]
    return found


def cuda_devices() -> dict[str, dict[str, Any]]:
    """Name and memory of each CUDA device; only for a program that has initialised CUDA."""
    found = {}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = {"name": properties.name, "total_bytes": properties.total_memory}
    return found


def cuda_uuids() -> list[str] | None:
    """The UUIDs of CUDA's devices in its order, bare; None while the program does not use CUDA."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    places = range(torch.cuda.device_count())
    return [str(torch.cuda.get_device_properties(place).uuid) for place in places]

"""What the CUDA allocator says of itself, at every phase boundary and on every beat."""

from __future__ import annotations

from typing import Any, Final

import torch

from memprof.record.journal import Journal, now_ns

_STATISTICS: Final = (
    "requested_bytes",
    "allocated_bytes",
    "reserved_bytes",
    "inactive_split_bytes",
)


class CudaMemory:
    """Samples the allocator's statistics of every CUDA device once the program uses CUDA."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows = journal.tables["samples"].add
        self._number = journal.strings.number
        self._devices = 0
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
            time_ns = now_ns()
            for name in _STATISTICS:
                series = self._number(f"cuda:{index}/{name}")
                self._rows((time_ns, series, statistics[name]["all"]["current"]))


def cuda_devices() -> dict[str, dict[str, Any]]:
    """Name and memory of each CUDA device; only for a program that has initialised CUDA."""
    found = {}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = {"name": properties.name, "total_bytes": properties.total_memory}
    return found

"""What the CUDA allocator says of itself, at every phase boundary and on every beat."""

from __future__ import annotations

from typing import Any, Final

import torch

from memprof.record.journal import Journal, now_ns

_STATISTICS: Final = {
    "requested_bytes": "requested_bytes.all.current",
    "allocated_bytes": "allocated_bytes.all.current",
    "reserved_bytes": "reserved_bytes.all.current",
    "peak_allocated_bytes": "allocated_bytes.all.peak",
}


class CudaMemory:
    """Samples the allocator's statistics of every CUDA device once CUDA is in use."""

    def __init__(self, journal: Journal) -> None:
        self._rows = journal.tables["samples"].add
        self._number = journal.strings.number

    def sample(self) -> None:
        """Notes the statistics of this moment; nothing before the program initialises CUDA."""
        if not torch.cuda.is_initialized():
            return
        for index in range(torch.cuda.device_count()):
            statistics = torch.cuda.memory_stats(index)
            time_ns = now_ns()
            for name, key in _STATISTICS.items():
                series = self._number(f"cuda:{index}/{name}")
                self._rows((time_ns, series, statistics.get(key, 0)))


def cuda_devices() -> dict[str, dict[str, Any]]:
    """Name and memory of each CUDA device, without initialising CUDA where it is not in use."""
    if not torch.cuda.is_available():
        return {}
    found = {}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = {"name": properties.name, "total_bytes": properties.total_memory}
    return found

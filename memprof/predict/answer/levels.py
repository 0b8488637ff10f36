"""What CUDA's allocator would hand out and reserve for the requests of a trace."""

from __future__ import annotations

from dataclasses import dataclass

from memprof.analyze.device import DeviceAnalysis
from memprof.predict.allocator import CachingAllocator


@dataclass(frozen=True, slots=True)
class Levels:
    """The highest levels of one device, in bytes, each at its own moment."""

    requested_bytes: int
    allocated_bytes: int
    reserved_bytes: int


def highest_levels(device: DeviceAnalysis) -> Levels:
    """Replays the requests of a device in their order."""
    trace = device.levels.trace
    sizes, allocator = trace.allocations.nbytes, CachingAllocator()
    addresses: dict[int, int] = {}
    for event in device.events.tolist():
        number = int(trace.events.allocation[event])
        if trace.events.freed[event]:
            address = addresses.pop(number, None)
            if address is not None:
                allocator.free(address)
        elif sizes[number]:
            addresses[number] = allocator.malloc(int(sizes[number]))
    levels = allocator.levels
    return Levels(device.peak.requested_bytes, levels.allocated_peak, levels.reserved_peak)

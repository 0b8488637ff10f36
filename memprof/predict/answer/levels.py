"""What CUDA's allocator would hand out and reserve for the requests of a predicted run."""

from __future__ import annotations

from dataclasses import dataclass

from memprof.predict.replay import Requests, replay, requests_of
from memprof.trace import Trace


@dataclass(frozen=True)
class Levels:
    """The highest levels of one device, in bytes, each at its own moment.

    Attributes:
        requests: what was asked of the device.
    """

    requested_bytes: int
    allocated_bytes: int
    reserved_bytes: int
    requests: Requests

    def fits_in(self, capacity: int) -> bool:
        """Whether an allocator with so many bytes serves every request.

        It does where all it reserves fits, and may where it gives unused memory back in between.
        """
        if self.reserved_bytes <= capacity:
            return True
        if self.allocated_bytes > capacity:
            return False
        return replay(self.requests, capacity=capacity).out_of_memory is None


def highest_levels(trace: Trace, device: str) -> Levels:
    """Replays the requests of a device in their order."""
    requests = requests_of(trace, device)
    result = replay(requests)
    return Levels(
        requested_bytes=int(result.requested.max(initial=0)),
        allocated_bytes=int(result.allocated.max(initial=0)),
        reserved_bytes=int(result.reserved.max(initial=0)),
        requests=requests,
    )

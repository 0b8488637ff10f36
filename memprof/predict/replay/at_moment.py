"""What the model of the allocator holds at one moment of a trace, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.predict.allocator.states import BlockState, SegmentState
from memprof.predict.replay.player import Ints, ReplayResult, replay
from memprof.predict.replay.requests import Requests, requests_of
from memprof.trace import Trace


@dataclass(frozen=True)
class AllocatorMoment:
    """Segments of the modelled allocator after an event.

    Attributes:
        segments: all of them, with every block and hole.
        time_ns: of each request up to then.
        result: the levels after each of these requests.
        allocations: the trace's allocation by the address of the block that it is in.
    """

    segments: tuple[SegmentState, ...]
    time_ns: Ints
    result: ReplayResult
    allocations: dict[int, int]

    def allocation(self, block: BlockState) -> int | None:
        """The allocation that a block holds; None for a hole."""
        return self.allocations.get(block.address) if block.use != "inactive" else None


def allocator_at(trace: Trace, device: str, event: int) -> AllocatorMoment:
    """Plays what a trace asked of a device up to and including an event.

    Only order and sizes of the requests are known, so the settings are PyTorch's defaults, on one
    stream and without graphs.
    """
    whole, rows = requests_of(trace, device), trace.allocations
    chosen = np.flatnonzero((rows.device == trace.strings.index(device)) & (rows.nbytes > 0))
    asked = np.isin(trace.events.allocation[: event + 1], chosen)
    count = int(asked.sum())
    begun = Requests(
        subjects=whole.subjects[:count], nbytes=whole.nbytes, time_ns=whole.time_ns[:count]
    )
    result = replay(begun)
    alive = chosen[(rows.birth[chosen] <= event) & (rows.death[chosen] > event)]
    places = np.searchsorted(chosen, alive)
    addresses = np.asarray(result.addresses)[places]
    return AllocatorMoment(
        segments=result.segments,
        time_ns=np.asarray(begun.time_ns, np.int64),
        result=result,
        allocations=dict(zip(addresses.tolist(), alive.tolist(), strict=True)),
    )

"""What a program asked of the allocator, whatever came of it: the input of every replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from memprof.errors import UsageError
from memprof.predict.allocator.blocks import PoolId
from memprof.trace import Trace


@dataclass(frozen=True, slots=True)
class Requests:
    """Births and deaths of allocations, in order.

    Attributes:
        subjects: n where allocation n is made and ~n where it is freed.
        nbytes: that allocation n asked for.
        streams: on which it was asked for; empty where all are on stream 0.
        pools: the private pool that it went to, by allocation; those not named went to none.
        empty_cache: places in `subjects` before which unused memory was given back.
        time_ns: when, for each of `subjects`, on the clock of the source; empty where unknown.
    """

    subjects: Sequence[int]
    nbytes: Sequence[int]
    streams: Sequence[int] = ()
    pools: dict[int, PoolId] = field(default_factory=dict)
    empty_cache: Sequence[int] = ()
    time_ns: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.subjects)

    def stream_of(self, number: int) -> int:
        """The stream of an allocation."""
        return self.streams[number] if self.streams else 0


def requests_of(trace: Trace, device: str) -> Requests:
    """Gives what a trace says was asked of a device; nothing is asked for an empty tensor.

    Args:
        trace: a recorded or predicted run.
        device: its name in the trace, such as "cuda:0".

    Raises:
        UsageError: if the trace has no allocation there.
    """
    if device not in trace.devices:
        known = ", ".join(trace.devices) or "no device at all"
        raise UsageError(f"{trace.source} has no allocation on {device}: it has {known}")
    rows, events = trace.allocations, trace.events
    chosen = (rows.device == trace.strings.index(device)) & (rows.nbytes > 0)
    numbers = (np.cumsum(chosen) - 1)[events.allocation]
    here = chosen[events.allocation]
    return Requests(
        subjects=np.where(events.freed, ~numbers, numbers)[here].tolist(),
        nbytes=rows.nbytes[chosen].tolist(),
        time_ns=events.time_ns[here].tolist(),
    )


def measured_reserved_peak(trace: Trace, device: str) -> int | None:
    """Gives the most bytes that PyTorch said it had reserved; None where it was not asked."""
    series = f"{device}/reserved_bytes"
    if series not in trace.strings:
        return None
    values = trace.samples.value[trace.samples.series == trace.strings.index(series)]
    return int(values.max()) if len(values) else None

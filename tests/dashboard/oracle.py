"""What a device held, counted event by event without numpy and without the analysis."""

from __future__ import annotations

from pathlib import Path

from memprof.trace import Trace, load


def levels(trace: Trace) -> list[tuple[int, int]]:
    """(time in ns, bytes held) after each event."""
    held, found = 0, []
    sizes = trace.allocations.nbytes.tolist()
    events = trace.events
    rows = zip(
        events.time_ns.tolist(), events.allocation.tolist(), events.freed.tolist(), strict=True
    )
    for time_ns, allocation, freed in rows:
        held += -sizes[allocation] if freed else sizes[allocation]
        found.append((time_ns, held))
    return found


def peak_event(trace: Trace) -> int:
    """The first event after which the most was held."""
    held = [nbytes for _, nbytes in levels(trace)]
    return held.index(max(held))


def alive_after(trace: Trace, event: int) -> dict[int, int]:
    """Allocations that are alive after an event, and their bytes."""
    sizes, alive = trace.allocations.nbytes.tolist(), {}
    for number in range(event + 1):
        allocation = int(trace.events.allocation[number])
        if trace.events.freed[number]:
            del alive[allocation]
        else:
            alive[allocation] = sizes[allocation]
    return alive


def highest_within(path: Path, begin: float, end: float) -> int:
    """The most bytes held within a window of seconds since the trace began."""
    trace = load(path)
    found, before = [], 0
    for time_ns, held in levels(trace):
        at = (time_ns - trace.begin_ns) / 1e9
        if at < begin:
            before = held
        elif at <= end:
            found.append(held)
    return max([before, *found])

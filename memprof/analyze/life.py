"""The whole life of one allocation: its birth, what was seen of it, its death."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.live import LiveSet, LiveTensor
from memprof.analyze.moment import Moment
from memprof.analyze.phases import end_ns, seconds
from memprof.attribute import REASONS
from memprof.trace import LABELS, ORIGINS


@dataclass(frozen=True, slots=True)
class Life:
    """One allocation from birth to death.

    Attributes:
        tensor: what is known of it; its age is that at its death, or at the trace's end.
        origin: how it came to be known, one of `schema.ORIGINS`.
        reason: why it has its category, in words.
        born: the moment of its birth.
        freed: the moment of its death, None where it never died.
        end_seconds: when it died, or when the trace ended, since the trace began.
        seen: (seconds since the trace began, label) of everything that was observed of it.
        covered: bytes of it that somebody could still reach when that was last looked at, or None.
        previous: index of the allocation that it replaced in the same storage, or None.
    """

    tensor: LiveTensor
    origin: str
    reason: str
    born: Moment
    freed: Moment | None
    end_seconds: float
    seen: tuple[tuple[float, str], ...]
    covered: int | None
    previous: int | None


def life(device: DeviceAnalysis, index: int) -> Life | None:
    """Tells of an allocation by its index; None where the device has none of that index."""
    trace = device.levels.trace
    rows = trace.allocations
    if not 0 <= index < len(rows) or rows.device[index] != device.levels.number:
        return None
    death = int(rows.death[index])
    freed = device.at_event(death) if death < len(trace.events) else None
    last = end_ns(trace) if freed is None else freed.time_ns
    tensor = LiveSet(device.levels, last, np.array([index])).describe(index)
    previous = int(rows.previous[index])
    return Life(
        tensor=tensor,
        origin=ORIGINS[rows.origin[index]],
        reason=REASONS[tensor.rule],
        born=device.at_event(int(rows.birth[index])),
        freed=freed,
        end_seconds=seconds(trace, last),
        seen=_seen(device, index),
        covered=_covered(device, index),
        previous=previous if previous >= 0 else None,
    )


def _seen(device: DeviceAnalysis, index: int) -> tuple[tuple[float, str], ...]:
    trace = device.levels.trace
    rows = np.flatnonzero(trace.labels.allocation == index)
    found = {LABELS[trace.labels.kind[row]]: row for row in rows[::-1].tolist()}
    told = [(seconds(trace, int(trace.labels.time_ns[row])), kind) for kind, row in found.items()]
    return tuple(sorted(told))


def _covered(device: DeviceAnalysis, index: int) -> int | None:
    views = device.levels.trace.views
    rows = np.flatnonzero(views.allocation == index)
    return int(views.covered[rows[-1]]) if len(rows) else None

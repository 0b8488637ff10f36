"""One moment of one device: when, where in the program, and how many bytes of what."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from memprof.analyze.levels import Levels, bytes_by_category
from memprof.analyze.live import LiveSet, live_set
from memprof.analyze.phases import phase_at, phase_of_event, phase_path, seconds, step_at


@dataclass(frozen=True)
class Moment:
    """The state of a device right after one event.

    Attributes:
        device: its name.
        event: number of the last event at that moment, of any device; -1 before the first.
        time_ns: on the trace's clock.
        seconds: since the trace began.
        step: number of the step, None before the first.
        phase: path of the phase, such as "backward" or "train › forward"; "" outside phases.
        module: the module at work, "" where none is known.
        op: the last operation that allocated in this phase, "" where there is none.
        requested_bytes: bytes that live tensors had asked for.
        by_category: the same by category; every category is there, and they sum to
            `requested_bytes`.
    """

    device: str
    event: int
    time_ns: int
    seconds: float
    step: int | None
    phase: str
    module: str
    op: str
    requested_bytes: int
    by_category: dict[str, int]
    levels: Levels = field(repr=False, compare=False)

    def live(self) -> LiveSet:
        """The allocations that make up `requested_bytes`, largest first."""
        return self._live

    @cached_property
    def _live(self) -> LiveSet:
        return live_set(self.levels, self.event, self.time_ns)


def moment_at_event(levels: Levels, event: int) -> Moment:
    """The state after event number `event` of the trace; -1 is before the first."""
    trace = levels.trace
    event = max(-1, min(event, len(trace.events) - 1))
    time_ns = int(trace.events.time_ns[event]) if event >= 0 else trace.begin_ns
    return _moment(levels, event, time_ns, phase_of_event(trace, event))


def moment_at_time(levels: Levels, time_ns: int) -> Moment:
    """The state at a time of the trace's clock, events at that very time included."""
    trace = levels.trace
    return _moment(levels, trace.events.at(time_ns) - 1, time_ns, phase_at(trace, time_ns))


def _moment(levels: Levels, event: int, time_ns: int, phase: int) -> Moment:
    trace = levels.trace
    by_category = bytes_by_category(levels.at(np.array([levels.position(event)]))[:, 0])
    module, op = _at_work(levels, event, phase)
    return Moment(
        device=levels.device,
        event=event,
        time_ns=time_ns,
        seconds=seconds(trace, time_ns),
        step=step_at(trace, time_ns),
        phase=phase_path(trace, phase),
        module=module,
        op=op,
        requested_bytes=sum(by_category.values()),
        by_category=by_category,
        levels=levels,
    )


def _at_work(levels: Levels, event: int, phase: int) -> tuple[str, str]:
    """Module and operation of the last birth up to `event`, if it was in this phase."""
    trace = levels.trace
    births = np.flatnonzero(~trace.events.freed[: event + 1])
    if not len(births):
        return "", ""
    latest = trace.events.allocation[births[-1]]
    if trace.allocations.phase[latest] != phase:
        return "", ""
    module = levels.attribution.birth_module[latest]
    return trace.strings[module], trace.strings[trace.allocations.op[latest]]

"""Phases and steps as people read them: paths, spans, numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.trace import Trace

SEPARATOR = " › "
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """One phase in time.

    Attributes:
        name: path from the outermost phase, such as "train › forward".
        begin, end: seconds since the trace began; a phase that never ended ends with the trace.
        depth: number of phases around it.
        number: index into `trace.phases`.
    """

    name: str
    begin: float
    end: float
    depth: int
    number: int


def phase_path(trace: Trace, number: int) -> str:
    """Names a phase with all those around it, outermost first; "" for phase 0."""
    return SEPARATOR.join(trace.strings[trace.phases.name[n]] for n in _ancestry(trace, number))


def phase_at(trace: Trace, time_ns: int) -> int:
    """Number of the phase that began last of those open at `time_ns`; 0 where none is."""
    phases = trace.phases
    is_open = (phases.begin_ns <= time_ns) & ((phases.end_ns < 0) | (phases.end_ns >= time_ns))
    candidates = np.flatnonzero(is_open)
    return int(candidates[np.argmax(phases.begin_ns[candidates])]) if len(candidates) else 0


def phase_of_event(trace: Trace, event: int) -> int:
    """Number of the phase that event number `event` happened in."""
    if event < 0:
        return 0
    if trace.events.freed[event]:
        return phase_at(trace, int(trace.events.time_ns[event]))
    return int(trace.allocations.phase[trace.events.allocation[event]])


def step_at(trace: Trace, time_ns: int) -> int | None:
    """Number of the step at `time_ns`; None before the first."""
    step = int(np.searchsorted(trace.steps.begin_ns, time_ns, side="right")) - 1
    return step if step >= 0 else None


def end_ns(trace: Trace) -> int:
    """The last moment that the trace knows of."""
    phases = trace.phases
    known = [trace.events.time_ns, phases.begin_ns, phases.end_ns]
    known += [trace.steps.begin_ns, trace.samples.time_ns]
    told = trace.summary.get("end_ns")
    ends = [told] if isinstance(told, int) else []
    return max(trace.begin_ns, *ends, *(int(times.max(initial=0)) for times in known))


def phase_spans(trace: Trace) -> list[PhaseSpan]:
    """Lists all phases in the order of their numbers, which is that of their beginning."""
    phases, last = trace.phases, end_ns(trace)
    ends = np.where(phases.end_ns < 0, last, phases.end_ns)
    known: dict[tuple[int, int], tuple[str, int]] = {}
    spans = []
    rows = zip(
        phases.name.tolist(),
        phases.parent.tolist(),
        ((phases.begin_ns - trace.begin_ns) / 1e9).tolist(),
        ((ends - trace.begin_ns) / 1e9).tolist(),
        strict=True,
    )
    for number, (name, parent, begin, end) in enumerate(rows):
        if (name, parent) not in known:  # phases of one name in one phase are many
            known[name, parent] = phase_path(trace, number), len(_ancestry(trace, number)) - 1
        path, depth = known[name, parent]
        spans.append(PhaseSpan(path, begin, end, depth, number))
    return spans[1:]


def seconds(trace: Trace, time_ns: int) -> float:
    """Seconds from the beginning of the trace to `time_ns`."""
    return (time_ns - trace.begin_ns) / 1e9


def _ancestry(trace: Trace, number: int) -> list[int]:
    path: list[int] = []
    while number > 0 and len(path) < _DEEPEST:
        path.append(number)
        number = int(trace.phases.parent[number])
    return path[::-1]

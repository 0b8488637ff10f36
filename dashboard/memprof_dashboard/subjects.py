"""What can be looked at: one device of one trace at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from memprof.analyze import Analysis, DeviceAnalysis, Moment, StepRow, step_table
from memprof.analyze.phases import end_ns
from memprof.analyze.run_facts import RunFacts, run_facts
from memprof.analyze.runs import trace_names
from memprof.trace import Trace
from memprof_dashboard.scale import Scale, scale_for


@dataclass(frozen=True)
class Subject:
    """One device of one trace.

    Attributes:
        label: what its tab says.
        analysis: of the trace.
        name: of the device.
        number: of its tab.
    """

    label: str
    analysis: Analysis
    name: str
    number: int = 0

    @property
    def trace(self) -> Trace:
        """The recording."""
        return self.analysis.trace

    @cached_property
    def device(self) -> DeviceAnalysis:
        """The analysis of the device."""
        return self.analysis.device(self.name)

    @property
    def peak(self) -> Moment:
        """The moment of the highest memory."""
        return self.device.peak

    @cached_property
    def steps(self) -> list[StepRow]:
        """What each step came to."""
        return step_table(self.device)

    @cached_property
    def facts(self) -> RunFacts:
        """What the trace says was run."""
        return run_facts(self.trace)

    @property
    def scale(self) -> Scale:
        """The unit of the timeline's axis."""
        return scale_for(self.peak.requested_bytes)

    @cached_property
    def window_ns(self) -> tuple[int, int]:
        """The span of time that the timeline shows at first: where anything happened."""
        times, last = self.device.time_ns, end_ns(self.trace)
        first = int(times[0]) if len(times) else self.trace.begin_ns
        margin = max(1, (last - first or last - self.trace.begin_ns) // 100)
        return max(self.trace.begin_ns, first - margin), last + margin

    def span_ns(self, window: Sequence[float] | None) -> tuple[int, int]:
        """A window given in seconds since the trace began; None for `window_ns`."""
        if window is None:
            return self.window_ns
        begin, end = (self.trace.begin_ns + round(at * 1e9) for at in window)
        return begin, end


def subjects_of(analyses: Sequence[Analysis]) -> tuple[Subject, ...]:
    """Lists the devices of all traces, the fullest first within each trace."""
    found: list[Subject] = []
    names = trace_names([analysis.trace for analysis in analyses])
    for analysis, told in zip(analyses, names, strict=True):
        prefix = f"{told} · " if len(analyses) > 1 else ""
        held = {name: analysis.device(name).peak.requested_bytes for name in analysis.devices}
        for name in sorted(analysis.devices, key=lambda name: -held[name]):
            found.append(Subject(prefix + name, analysis, name, len(found)))
    return tuple(found)

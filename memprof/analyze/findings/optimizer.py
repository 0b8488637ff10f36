"""What an optimizer takes for the time of its step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.evidence import Span, alive, is_near_peak, spans
from memprof.analyze.findings.finding import Finding
from memprof.analyze.run_facts import run_facts
from memprof.estimate import OptimizerSpec
from memprof.estimate.optimizer_step import implementation
from memprof.trace import Trace
from memprof.trace.document import Ints

_IN_PLACE = "it then works in place"


class _Advice(NamedTuple):
    text: str
    fix: str


def optimizer_temporaries(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of the most that an optimizer's step takes beside what it keeps."""
    advice = _advice(analysis.trace)
    if advice is None:
        return
    steps = [_at_highest(device, span) for span in spans(analysis.trace, "optimizer")]
    near = [step for step in steps if step[0] and is_near_peak(device, step[1])]
    if not near:
        return
    most, event, span = max(near, key=lambda step: step[0])
    taken = np.intersect1d(alive(device, event), _passing(device, span))
    yield Finding(
        kind="optimizer_temporaries",
        bytes=most,
        text=advice.text,
        fix=advice.fix,
        device=device.name,
        event=event,
        allocations=tuple(taken.tolist()),
    )


def _at_highest(device: DeviceAnalysis, step: Span) -> tuple[int, int, Span]:
    """The most bytes of a step's temporaries that are alive at one time, and the event."""
    first, last = _positions(device, step)
    passing = np.isin(device.levels.allocation[first:last], _passing(device, step))
    level = np.cumsum(np.where(passing, device.levels.delta[first:last], 0))
    if not len(level):
        return 0, -1, step
    highest = int(np.argmax(level))
    return int(level[highest]), int(device.events[first + highest]), step


def _passing(device: DeviceAnalysis, step: Span) -> Ints:
    """Allocations that are born and die within a step."""
    first, last = _positions(device, step)
    concerned, count = np.unique(device.levels.allocation[first:last], return_counts=True)
    both: Ints = concerned[count == 2]
    return both


def _positions(device: DeviceAnalysis, span: Span) -> tuple[int, int]:
    first, last = np.searchsorted(device.time_ns, [span.begin_ns, span.end_ns])
    return int(first), int(last)


def _advice(trace: Trace) -> _Advice | None:
    """What to change in the first optimizer that could do with less; None where there is none."""
    for _, optimizer in run_facts(trace).optimizers:
        how = {implementation(optimizer.name, group) for group in optimizer.groups}
        if "foreach" in how:
            return _of_foreach(optimizer)
        if "for-loop" in how and _can_be_fused(optimizer):
            text = f"{optimizer.name} takes them for its step, one parameter after the other."
            return _Advice(text, f"Create it with fused=True: {_IN_PLACE}.")
    return None


def _of_foreach(optimizer: OptimizerSpec) -> _Advice:
    text = f"{optimizer.name} takes them for its step, for all parameters at once (foreach)."
    one_by_one = "with foreach=False: it then takes one parameter after the other"
    if _can_be_fused(optimizer):
        return _Advice(text, f"Create it with fused=True: {_IN_PLACE}; or {one_by_one}.")
    return _Advice(text, f"Create it {one_by_one}.")


def _can_be_fused(optimizer: OptimizerSpec) -> bool:
    return all("fused" in group.options for group in optimizer.groups)

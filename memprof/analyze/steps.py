"""What each step of the program's loop came to on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.phases import end_ns, phase_of_event, phase_path, seconds
from memprof.trace.document import Ints

_FEWEST = 3
_APART_SHARE = 0.02
_APART_TIMES = 4


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step on one device.

    Attributes:
        step: its number.
        begin, end: seconds since the trace began.
        peak_bytes: the most bytes held in it, what it began with included.
        peak_event: the first event after which they were held; -1 before every event.
        peak_phase: path of the phase at that event.
        begin_bytes, end_bytes: bytes held when it began and when it ended.
        births: number of allocations made in it.
    """

    step: int
    begin: float
    end: float
    peak_bytes: int
    peak_event: int
    peak_phase: str
    begin_bytes: int
    end_bytes: int
    births: int

    @property
    def rise(self) -> int:
        """By how much its peak lies above the level with which it began."""
        return self.peak_bytes - self.begin_bytes


@dataclass(frozen=True, slots=True)
class StepCurve:
    """What a device held over one step.

    Attributes:
        step: its number.
        seconds: since the step began.
        total: bytes at each.
    """

    step: int
    seconds: npt.NDArray[np.float64]
    total: Ints


def step_table(device: DeviceAnalysis) -> list[StepRow]:
    """Lists what each step came to on one device."""
    trace, begins = device.levels.trace, device.levels.trace.steps.begin_ns
    ends = np.append(begins[1:], end_ns(trace))
    bounds = [*np.searchsorted(device.time_ns, begins).tolist(), len(device.time_ns)]
    return [
        _step_row(device, step, (int(begins[step]), int(ends[step])), bounds[step : step + 2])
        for step in range(len(begins))
    ]


def _step_row(
    device: DeviceAnalysis, step: int, times: tuple[int, int], bounds: list[int]
) -> StepRow:
    trace = device.levels.trace
    highest = _highest(device, *bounds)
    event = int(device.events[highest]) if highest >= 0 else -1
    return StepRow(
        step=step,
        begin=seconds(trace, times[0]),
        end=seconds(trace, times[1]),
        peak_bytes=_held(device, highest),
        peak_event=event,
        peak_phase=phase_path(trace, phase_of_event(trace, event)),
        begin_bytes=_held(device, bounds[0] - 1),
        end_bytes=_held(device, bounds[1] - 1),
        births=int((device.levels.delta[bounds[0] : bounds[1]] > 0).sum()),
    )


def odd_steps(rows: Sequence[StepRow]) -> list[StepRow]:
    """Steps that rise higher or less high than the others do, the farthest from them first.

    A step is held against the median rise, so that a level that creeps up makes no step odd. It
    is odd where it is farther away than 2 % of that and than four times the median distance.
    """
    if len(rows) < _FEWEST:
        return []
    rises = np.array([row.rise for row in rows])
    away = np.abs(rises - typical_rise(rows))
    apart = max(_APART_SHARE * typical_rise(rows), _APART_TIMES * float(np.median(away)))
    order = np.argsort(-away, kind="stable")
    return [rows[place] for place in order.tolist() if away[place] > apart]


def typical_rise(rows: Sequence[StepRow]) -> int:
    """The median of the steps' rises; the higher of the two in the middle."""
    return sorted(row.rise for row in rows)[len(rows) // 2]


def step_curves(
    device: DeviceAnalysis, rows: Sequence[StepRow], buckets: int = 120
) -> list[StepCurve]:
    """What the device held over each of some steps, each peak kept."""
    begin = device.levels.trace.begin_ns
    curves = []
    for row in rows:
        first, last = (begin + round(at * 1e9) for at in (row.begin, row.end))
        line = device.downsample(first, max(first + 1, last - 1), buckets)
        curves.append(StepCurve(row.step, line.seconds - row.begin, line.total))
    return curves


def _highest(device: DeviceAnalysis, first: int, last: int) -> int:
    """Position of the highest level from that before `first` to that before `last`."""
    start = max(first - 1, 0)
    return start + int(np.argmax(device.total[start:last])) if start < last else -1


def _held(device: DeviceAnalysis, position: int) -> int:
    return int(device.total[position]) if position >= 0 else 0

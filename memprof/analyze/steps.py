"""What each step of the program's loop came to on one device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.phases import end_ns, phase_of_event, phase_path, seconds


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step on one device.

    Attributes:
        step: its number.
        begin, end: seconds since the trace began.
        peak_bytes: the most bytes held in it, what it began with included.
        peak_event: the first event after which they were held; -1 before every event.
        peak_phase: path of the phase at that event.
        end_bytes: bytes held when it ended.
    """

    step: int
    begin: float
    end: float
    peak_bytes: int
    peak_event: int
    peak_phase: str
    end_bytes: int


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
        end_bytes=_held(device, bounds[1] - 1),
    )


def _highest(device: DeviceAnalysis, first: int, last: int) -> int:
    """Position of the highest level from that before `first` to that before `last`."""
    start = max(first - 1, 0)
    return start + int(np.argmax(device.total[start:last])) if start < last else -1


def _held(device: DeviceAnalysis, position: int) -> int:
    return int(device.total[position]) if position >= 0 else 0

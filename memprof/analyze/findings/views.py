"""Storages that are alive at the peak for a small part of them, which a view keeps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.evidence import alive, spans, total_bytes
from memprof.analyze.findings.finding import Finding
from memprof.analyze.findings.places import places_of, told
from memprof.trace import Trace
from memprof.trace.document import Ints
from memprof.units import format_bytes

Flags = npt.NDArray[np.bool_]

_MOST_COVERED = 0.5
_CALLS = ("forward", "prefill", "decode")


def kept_by_views(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of storages of which living tensors cover less than half, by what is not covered."""
    trace, event = analysis.trace, device.peak.event
    rows = _last_rows(trace)
    barely = rows[_is_barely_covered(trace, rows)]
    at_peak = barely[np.isin(trace.views.allocation[barely], alive(device, event))]
    chosen = at_peak[_is_leftover(trace, at_peak, event)]
    if not len(chosen):
        return
    kept, covered = trace.views.allocation[chosen], int(trace.views.covered[chosen].sum())
    yield Finding(
        kind="kept_by_views",
        bytes=total_bytes(device, kept) - covered,
        text=f"{_counted(len(kept))} made at {told(places_of(trace, kept))} would be free if "
        f"views such as {_example(trace, chosen)} were copies: these need {format_bytes(covered)}.",
        fix="Keep a copy of the part, x[:n].clone(): a view keeps all of what it was taken from.",
        device=device.name,
        event=event,
        allocations=tuple(sorted(kept.tolist())),
    )


def barely_covered(trace: Trace) -> Ints:
    """Allocations that were last seen alive for less than half of them."""
    rows = _last_rows(trace)
    found: Ints = trace.views.allocation[rows[_is_barely_covered(trace, rows)]]
    return found


def _last_rows(trace: Trace) -> Ints:
    """The last row of each allocation that has one; the rows are in the order of time."""
    _, from_the_end = np.unique(trace.views.allocation[::-1], return_index=True)
    rows: Ints = len(trace.views.allocation) - 1 - from_the_end
    return rows


def _is_barely_covered(trace: Trace, rows: Ints) -> Flags:
    whole = trace.allocations.nbytes[trace.views.allocation[rows]]
    barely: Flags = trace.views.covered[rows] < _MOST_COVERED * whole
    return barely


def _is_leftover(trace: Trace, rows: Ints, event: int) -> Flags:
    """Whether a storage was one at an event already.

    It was seen before it, or made before the last step or call of a model up to it.
    """
    now = trace.events.time_ns[event]
    calls = np.array([span.begin_ns for span in spans(trace, *_CALLS)], np.int64)
    begins = np.concatenate([trace.steps.begin_ns[1:], calls])
    last = begins[begins <= now].max(initial=trace.begin_ns)
    born = trace.events.time_ns[trace.allocations.birth[trace.views.allocation[rows]]]
    leftover: Flags = (trace.views.time_ns[rows] <= now) | (born < last)
    return leftover


def _counted(count: int) -> str:
    return "A tensor" if count == 1 else f"{count:,} tensors"


def _example(trace: Trace, rows: Ints) -> str:
    """The view that keeps the largest storage."""
    sizes = trace.allocations.nbytes[trace.views.allocation[rows]]
    largest = rows[int(np.argmax(sizes))]
    return trace.strings[int(trace.views.tensor[largest])]

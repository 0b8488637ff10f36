"""A trace as it was at one of its moments: what came later is not known yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from memprof.trace.document import (
    Allocations,
    Details,
    Events,
    Ints,
    Labels,
    Phases,
    Streams,
    Trace,
    Views,
)

Flags = npt.NDArray[np.bool_]
OfAllocations = TypeVar("OfAllocations", Labels, Details, Streams, Views)


def cut(trace: Trace, time_ns: int) -> Trace:
    """Returns the trace as if its program had been killed at `time_ns`.

    Labels that came later stay: they say what an allocation is, and that holds for all its life.
    """
    count = trace.events.at(time_ns)
    kept = trace.allocations.birth < count
    index = np.where(kept, np.cumsum(kept) - 1, -1)
    return replace(
        trace,
        summary={"end_ns": time_ns},
        complete=False,
        allocations=_allocations(trace.allocations, kept, index, count),
        events=_events(trace.events, index, count),
        labels=_of_allocations(trace.labels, kept, index),
        details=_of_allocations(trace.details, kept, index),
        views=_of_allocations(trace.views, kept, index),
        streams=_of_allocations(trace.streams, kept, index),
        phases=_phases(trace.phases, time_ns),
        steps=_rows(trace.steps, trace.steps.begin_ns <= time_ns),
        workspaces=_rows(trace.workspaces, trace.workspaces.time_ns <= time_ns),
        samples=_rows(trace.samples, trace.samples.time_ns <= time_ns),
        facts=tuple(fact for fact in trace.facts if fact.time_ns <= time_ns),
    )


def _allocations(rows: Allocations, kept: Flags, index: Ints, count: int) -> Allocations:
    few: Allocations = _rows(rows, kept)
    previous = np.where(few.previous < 0, -1, index[few.previous])
    return replace(few, previous=previous, death=np.minimum(few.death, count))


def _events(rows: Events, index: Ints, count: int) -> Events:
    few: Events = _rows(rows, np.arange(len(rows)) < count)
    return replace(few, allocation=index[few.allocation])


def _of_allocations(rows: OfAllocations, kept: Flags, index: Ints) -> OfAllocations:
    few: OfAllocations = _rows(rows, kept[rows.allocation])
    return replace(few, allocation=index[few.allocation])


def _phases(rows: Phases, time_ns: int) -> Phases:
    """Open ones have no end; later ones keep their number, without a name or a time."""
    later = rows.begin_ns > time_ns
    end_ns = np.where(rows.end_ns > time_ns, -1, rows.end_ns)
    return replace(
        rows,
        name=np.where(later, 0, rows.name),
        begin_ns=np.where(later, 0, rows.begin_ns),
        end_ns=np.where(later, 0, end_ns),
    )


def _rows(table: Any, chosen: Flags) -> Any:
    columns = {name: getattr(table, name)[chosen] for name in table.__slots__}
    return replace(table, **columns)

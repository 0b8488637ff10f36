"""Where memory was made, as people say it: a line of the program, else an operation in a module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from memprof.analyze.findings.evidence import operation
from memprof.trace import Trace
from memprof.trace.document import Ints
from memprof.units import format_bytes

_TOLD = 3


class Place(NamedTuple):
    """A line of the program, or an operation in a module, and some of what it made."""

    bytes: int
    name: str
    allocations: Ints


def places_of(trace: Trace, allocations: Ints) -> list[Place]:
    """Groups allocations by where they were made, the places with the most bytes first."""
    rows = trace.allocations
    line = _lines(trace)[allocations]
    known = line > 0
    op = np.where(known, 0, rows.op[allocations])
    module = np.where(known, 0, rows.module[allocations])
    _, group = np.unique(np.stack([line, op, module], axis=1), axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    edges = np.flatnonzero(np.diff(group.ravel()[order])) + 1
    members = np.split(allocations[order], edges) if len(allocations) else []
    found = [Place(int(rows.nbytes[m].sum()), _name(trace, int(m[0])), m) for m in members]
    return sorted(found, key=lambda place: -place.bytes)


def told(places: Sequence[Place]) -> str:
    """Names the first places, each with its bytes."""
    named = [f"{place.name} ({format_bytes(place.bytes)})" for place in places[:_TOLD]]
    more = len(places) - _TOLD
    return ", ".join(named) + (f" and {more} more places" if more > 0 else "")


def _lines(trace: Trace) -> Ints:
    """For each allocation a number of the innermost line of its stack; 0 where none is known."""
    numbers: dict[str, int] = {"": 0}
    stacks = np.unique(trace.details.stack)
    known = np.array(
        [numbers.setdefault(_line(trace.strings[stack]), len(numbers)) for stack in stacks],
        np.int64,
    )
    lines = np.zeros(len(trace.allocations), np.int64)
    lines[trace.details.allocation] = known[np.searchsorted(stacks, trace.details.stack)]
    return lines


def _line(stack: str) -> str:
    return stack.partition("\n")[0]


def _name(trace: Trace, allocation: int) -> str:
    row = np.flatnonzero(trace.details.allocation == allocation)
    line = _line(trace.strings[trace.details.stack[row[0]]]) if len(row) else ""
    module = trace.strings[trace.allocations.module[allocation]]
    made = " in ".join(part for part in (operation(trace, allocation), module) if part)
    return line or made or "lines that were not noted, as the tensors are small"

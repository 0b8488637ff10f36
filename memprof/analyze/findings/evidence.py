"""What several findings ask of a trace: shapes, spans of phases, levels near the peak."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

import numpy as np

from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.phases import end_ns
from memprof.trace import CATEGORIES, Trace
from memprof.trace.document import Ints

#: A moment whose level reaches this share of the peak counts: to lower the peak, lower it as well.
NEAR = 0.9

MATRIX_PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm", "linear", "matmul", "_scaled_mm"})
_TENSOR = re.compile(r"(\w+)\[([\d, ]*)\]")


@dataclass(frozen=True, slots=True)
class Shape:
    """dtype and shape of a tensor as it was when its storage was made."""

    dtype: str
    sizes: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.sizes)

    def __str__(self) -> str:
        """As the trace writes it: ``bfloat16[8, 4096]``."""
        return f"{self.dtype}{list(self.sizes)}"


@dataclass(frozen=True, slots=True)
class Span:
    """A phase in time; one that never ended ends with the trace."""

    number: int
    begin_ns: int
    end_ns: int


def parse_shape(text: str) -> Shape | None:
    """Reads ``float32[8, 4096]``; None for what has no shape, such as ``bytes[4096]`` or ``""``."""
    match = _TENSOR.fullmatch(text)
    if match is None or match[1] == "bytes":
        return None
    return Shape(match[1], tuple(int(size) for size in match[2].split(",") if size.strip()))


def shapes_of(trace: Trace, allocations: Ints) -> dict[int, Shape]:
    """The shapes of those of `allocations` that have one."""
    details = trace.details
    chosen = np.flatnonzero(np.isin(details.allocation, allocations))
    parsed = {number: parse_shape(trace.strings[number]) for number in set(details.tensor[chosen])}
    pairs = zip(details.allocation[chosen].tolist(), details.tensor[chosen].tolist(), strict=True)
    return {index: shape for index, number in pairs if (shape := parsed[number]) is not None}


def operation(trace: Trace, allocation: int) -> str:
    """An operation without library and overload: ``mm`` of ``aten.mm.default``."""
    return operation_name(trace.strings[trace.allocations.op[allocation]])


def operation_name(full: str) -> str:
    """The same of its full name."""
    parts = full.replace("::", ".").split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def spans(trace: Trace, *names: str) -> list[Span]:
    """Phases of some names in the order in which they began."""
    phases, last = trace.phases, end_ns(trace)
    numbers = [number for number, text in enumerate(trace.strings) if text in names]
    chosen = np.flatnonzero(np.isin(phases.name, numbers))
    chosen = chosen[chosen > 0]
    ends = np.where(phases.end_ns < 0, last, phases.end_ns)
    order = chosen[np.argsort(phases.begin_ns[chosen], kind="stable")]
    return [Span(int(n), int(phases.begin_ns[n]), int(ends[n])) for n in order]


def of_category(device: DeviceAnalysis, allocations: Ints, *categories: str) -> Ints:
    """Those of `allocations` that are of one of some categories."""
    numbers = [CATEGORIES.index(category) for category in categories]
    return allocations[np.isin(device.levels.attribution.category[allocations], numbers)]


def alive(device: DeviceAnalysis, event: int) -> Ints:
    """Allocations that the device holds after event number `event`, oldest first."""
    rows = device.levels.trace.allocations
    here = rows.device == device.levels.number
    found = np.flatnonzero(here & (rows.birth <= event) & (rows.death > event))
    ordered: Ints = found[np.argsort(rows.birth[found], kind="stable")]
    return ordered


def highest_between(device: DeviceAnalysis, begin_ns: int, end_ns: int) -> int:
    """Number of the event with the device's highest level in a span of time; -1 where none is."""
    first, last = np.searchsorted(device.time_ns, [begin_ns, end_ns])
    if first == last:
        return -1
    return int(device.events[first + np.argmax(device.total[first:last])])


def is_near_peak(device: DeviceAnalysis, event: int) -> bool:
    """Whether the device held nearly as much after an event as it ever did."""
    position = device.levels.position(event)
    return position >= 0 and int(device.total[position]) >= NEAR * device.peak.requested_bytes


def total_bytes(device: DeviceAnalysis, allocations: Ints | list[int]) -> int:
    """Bytes of some allocations together."""
    return int(device.levels.trace.allocations.nbytes[allocations].sum())

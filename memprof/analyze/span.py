"""What a part of a run held: its start, its peak and its end, over one process or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memprof.analyze.analysis import Analysis
from memprof.analyze.levels import bytes_by_category
from memprof.trace import CATEGORIES, ORIGINS
from memprof.trace.document import Ints

_BEFORE = ORIGINS.index("before")


@dataclass(frozen=True, slots=True)
class Level:
    """What was held at one time.

    Attributes:
        time_ns: on the trace's clock.
        bytes: of all categories.
        by_category: every category is there, and they sum to `bytes`.
    """

    time_ns: int
    bytes: int
    by_category: dict[str, int]

    def over(self, other: Level) -> Level:
        """The same without what `other` held; a category may have become less."""
        rest = {name: held - other.by_category[name] for name, held in self.by_category.items()}
        return Level(self.time_ns, self.bytes - other.bytes, rest)


class HighWater(NamedTuple):
    """The most bytes that a category held, and when it first did."""

    bytes: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Span:
    """What one device held from `start` to `end`.

    Attributes:
        device: its name.
        start: before the first event of the span.
        peak: the first moment of the highest total.
        end: after the last event.
        category_peaks: the highest level of each category, whenever that was.
    """

    device: str
    start: Level
    peak: Level
    end: Level
    category_peaks: dict[str, HighWater]

    def growth(self) -> Span:
        """The same over what was held at the start."""
        base = self.start
        highest = {
            name: HighWater(peak.bytes - base.by_category[name], peak.time_ns)
            for name, peak in self.category_peaks.items()
        }
        return Span(
            self.device, base.over(base), self.peak.over(base), self.end.over(base), highest
        )


class _Changes(NamedTuple):
    time_ns: Ints
    category: npt.NDArray[np.integer]
    delta: Ints


def span(
    analysis: Analysis,
    device: str,
    begin_ns: int,
    end_ns: int,
    children: Sequence[Analysis] = (),
) -> Span:
    """Adds up what a device held after `begin_ns`, up to and including `end_ns`.

    Args:
        analysis: the run; what it held at `begin_ns` is the start.
        device: a device's name, which the run need not have used.
        begin_ns: on the trace's clock, as all times are.
        end_ns: where the span ends.
        children: other processes of this machine, whose clock is the same: what they held before
            their own recording does not count.
    """
    own = _changes(analysis, device)
    before = own.time_ns <= begin_ns
    base = _sums(own, before)
    inside = [_chosen(own, ~before & (own.time_ns <= end_ns))]
    for child in children:
        born = _changes(child, device, own_only=True)
        inside.append(_chosen(born, (born.time_ns > begin_ns) & (born.time_ns <= end_ns)))
    return _span(device, begin_ns, end_ns, base, _in_order(inside))


def _changes(analysis: Analysis, device: str, *, own_only: bool = False) -> _Changes:
    if device not in analysis.devices:
        nothing = np.zeros(0, np.int64)
        return _Changes(nothing, nothing, nothing)
    levels = analysis.device(device).levels
    category = levels.attribution.category[levels.allocation]
    found = _Changes(levels.time_ns, category, levels.delta)
    if not own_only:
        return found
    return _chosen(found, levels.trace.allocations.origin[levels.allocation] != _BEFORE)


def _chosen(changes: _Changes, which: npt.NDArray[np.bool_] | Ints) -> _Changes:
    return _Changes(changes.time_ns[which], changes.category[which], changes.delta[which])


def _in_order(parts: Sequence[_Changes]) -> _Changes:
    if len(parts) == 1:
        return parts[0]
    time_ns = np.concatenate([part.time_ns for part in parts])
    category = np.concatenate([part.category for part in parts])
    delta = np.concatenate([part.delta for part in parts])
    return _chosen(_Changes(time_ns, category, delta), np.argsort(time_ns, kind="stable"))


def _sums(changes: _Changes, which: npt.NDArray[np.bool_] | slice) -> Ints:
    sums = np.zeros(len(CATEGORIES), np.int64)
    np.add.at(sums, changes.category[which], changes.delta[which])
    return sums


def _span(device: str, begin_ns: int, end_ns: int, base: Ints, changes: _Changes) -> Span:
    start = _level(begin_ns, base)
    place = _highest(np.cumsum(changes.delta))
    peak = start
    if place >= 0:
        reached = base + _sums(changes, slice(place + 1))
        peak = _level(int(changes.time_ns[place]), reached)
    end = _level(end_ns, base + _sums(changes, slice(None)))
    highest = {
        name: _category_peak(begin_ns, int(base[number]), changes, number)
        for number, name in enumerate(CATEGORIES)
    }
    return Span(device, start, peak, end, highest)


def _highest(growth: Ints) -> int:
    """Place of the first highest level over the start; -1 where none is higher."""
    place = int(np.argmax(growth)) if len(growth) else -1
    return place if place >= 0 and growth[place] > 0 else -1


def _category_peak(begin_ns: int, base: int, changes: _Changes, number: int) -> HighWater:
    mine = np.flatnonzero(changes.category == number)
    growth = np.cumsum(changes.delta[mine])
    place = _highest(growth)
    if place < 0:
        return HighWater(base, begin_ns)
    return HighWater(base + int(growth[place]), int(changes.time_ns[mine[place]]))


def _level(time_ns: int, sums: Ints) -> Level:
    return Level(time_ns, int(sums.sum()), bytes_by_category(sums))

"""Running bytes of one device: the total and each category's, kept as numpy columns."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memprof.attribute import Attribution
from memprof.trace import CATEGORIES, Trace
from memprof.trace.document import Ints


class CategoryPeak(NamedTuple):
    """The most bytes a category ever held, and the first event after which it held them.

    `event` is -1 where the category never held any.
    """

    bytes: int
    event: int


class _Series(NamedTuple):
    positions: Ints  # places in `Levels.events` that concern the category, ascending
    running: Ints  # its bytes before the first of them and after each


@dataclass(frozen=True)
class Levels:
    """What one device held, event by event.

    Attributes:
        trace: the recording.
        attribution: what its allocations are.
        device: the device's name.
        number: the device's string number.
        events: numbers, into `trace.events`, of the events that concern the device, ascending.
    """

    trace: Trace
    attribution: Attribution
    device: str
    number: int
    events: Ints

    @cached_property
    def time_ns(self) -> Ints:
        """Times of `events`, never decreasing."""
        return self.trace.events.time_ns[self.events]

    @cached_property
    def allocation(self) -> Ints:
        """Indices of the allocations that `events` concern."""
        return self.trace.events.allocation[self.events]

    @cached_property
    def delta(self) -> Ints:
        """Bytes gained (positive) or given back (negative) at each of `events`."""
        nbytes = self.trace.allocations.nbytes[self.allocation]
        return np.where(self.trace.events.freed[self.events], -nbytes, nbytes)

    @cached_property
    def total(self) -> Ints:
        """Bytes held after each of `events`."""
        return np.cumsum(self.delta)

    @cached_property
    def category_peaks(self) -> dict[str, CategoryPeak]:
        """Each category's own high-water mark; every category is there."""
        return {
            category: self._series_peak(series)
            for category, series in zip(CATEGORIES, self._series, strict=True)
        }

    def series(self, category: str) -> Ints:
        """Bytes of one category after each of `events`."""
        series = self._series[CATEGORIES.index(category)]
        return _at(series, np.arange(len(self.events)))

    def at(self, positions: Ints) -> Ints:
        """Bytes of every category after the events at `positions` in `events`.

        Position -1 means before the first event.

        Returns:
            An array of shape `[len(CATEGORIES), len(positions)]`.
        """
        return np.stack([_at(series, positions) for series in self._series])

    def position(self, event: int) -> int:
        """Place in `events` of the last one up to and including event number `event`, or -1."""
        return int(np.searchsorted(self.events, event, side="right")) - 1

    def highest(self, first: int, last: int) -> Ints:
        """Positions, from `first` to before `last`, of each category's own highest level."""
        found = []
        for series in self._series:
            begin, end = np.searchsorted(series.positions, [first, last])
            if begin < end:
                after = series.running[begin + 1 : end + 1]
                found.append(series.positions[begin + np.argmax(after)])
        return np.array(found, np.int64)

    @cached_property
    def _series(self) -> tuple[_Series, ...]:
        category = self.attribution.category[self.allocation]
        order = np.argsort(category, kind="stable")
        bounds = np.searchsorted(category[order], np.arange(len(CATEGORIES) + 1))
        pairs = itertools.pairwise(bounds.tolist())
        return tuple(_running(order[begin:end], self.delta) for begin, end in pairs)

    def _series_peak(self, series: _Series) -> CategoryPeak:
        highest = np.argmax(series.running)
        if series.running[highest] <= 0:
            return CategoryPeak(0, -1)
        event = self.events[series.positions[highest - 1]]
        return CategoryPeak(int(series.running[highest]), int(event))


def levels(trace: Trace, attribution: Attribution, device: str) -> Levels:
    """Collects the events of one device of `trace.devices`."""
    number = trace.strings.index(device)
    if len(trace.devices) == 1:
        return Levels(trace, attribution, device, number, np.arange(len(trace.events)))
    concerned = trace.allocations.device[trace.events.allocation] == number
    return Levels(trace, attribution, device, number, np.flatnonzero(concerned))


def bytes_by_category(column: npt.NDArray[np.int64]) -> dict[str, int]:
    """Names the entries of one column of `Levels.at`."""
    return {category: int(nbytes) for category, nbytes in zip(CATEGORIES, column, strict=True)}


def _running(positions: Ints, delta: Ints) -> _Series:
    return _Series(positions, np.concatenate([[0], np.cumsum(delta[positions])]))


def _at(series: _Series, positions: Ints) -> Ints:
    place = np.searchsorted(series.positions, positions, side="right")
    return series.running[place]

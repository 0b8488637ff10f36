"""Few points for a chart out of many events, with every peak kept exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memprof.analyze.levels import Levels
from memprof.trace.document import Ints


@dataclass(frozen=True, slots=True)
class Timeline:
    """Levels of a device at chosen moments of a window, in time order.

    Attributes:
        event: event numbers; -1 before the first. The first point is the state with which the
            window begins and the last that with which it ends.
        time_ns: on the trace's clock.
        seconds: since the trace began.
        total: bytes at each point.
        by_category: bytes of shape `[len(CATEGORIES), points]`; they sum to `total`.
        total_events: events of the device in the window.
    """

    event: Ints
    time_ns: Ints
    seconds: npt.NDArray[np.float64]
    total: Ints
    by_category: Ints
    total_events: int

    def __len__(self) -> int:
        return len(self.event)

    @property
    def shown(self) -> int:
        """Number of events that are among the points."""
        return len(self.event) - 2


def downsample(
    levels: Levels,
    begin_ns: int,
    end_ns: int,
    buckets: int,
    categories: Sequence[str] | None = None,
) -> Timeline:
    """Chooses at most `2 * buckets` points, each category's highest and the two ends.

    The window is cut into `buckets` equal spans of time; the first lowest and the first highest
    level in each are kept, so that no peak is lost and none is drawn higher than it was.

    Args:
        levels: the device.
        begin_ns: where the window begins.
        end_ns: where it ends, events at that very time included.
        buckets: number of spans, at least 1.
        categories: those whose sum decides what is lowest and highest; None for all of them.
    """
    first = int(np.searchsorted(levels.time_ns, begin_ns, side="left"))
    last = int(np.searchsorted(levels.time_ns, end_ns, side="right"))
    edges = begin_ns + (end_ns - begin_ns) * np.arange(buckets, dtype=np.int64) // buckets
    inside = _chosen(levels, first, max(first, last), edges, categories)
    positions = np.concatenate([[first - 1], inside, [max(first, last) - 1]])
    times = np.concatenate([[begin_ns], levels.time_ns[inside], [end_ns]])
    by_category = levels.at(positions)
    return Timeline(
        event=np.where(positions < 0, -1, np.append(levels.events, -1)[positions]),
        time_ns=times,
        seconds=(times - levels.trace.begin_ns) / 1e9,
        total=by_category.sum(axis=0),
        by_category=by_category,
        total_events=max(0, last - first),
    )


def _chosen(
    levels: Levels, first: int, last: int, edges: Ints, categories: Sequence[str] | None
) -> Ints:
    if last - first <= 2 * len(edges):
        return np.arange(first, last)
    starts = np.unique(np.searchsorted(levels.time_ns[first:last], edges, side="left"))
    starts = starts[starts < last - first]
    level = _level(levels, categories)[first:last]
    extremes = [
        _first_extreme(np.maximum, level, starts),
        _first_extreme(np.minimum, level, starts),
    ]
    ends = np.array([first, last - 1])
    return np.unique(
        np.concatenate([*(e + first for e in extremes), ends, levels.highest(first, last)])
    )


def _level(levels: Levels, categories: Sequence[str] | None) -> Ints:
    if categories is None:
        return levels.total
    chosen = [levels.series(category) for category in categories]
    return np.sum(chosen, axis=0) if chosen else levels.total


def _first_extreme(extreme: np.ufunc, level: Ints, starts: Ints) -> Ints:
    """Place of the first highest (or lowest) of each piece of `level` beginning at `starts`."""
    found = extreme.reduceat(level, starts)
    lengths = np.diff(starts, append=len(level))
    hits = np.flatnonzero(level == np.repeat(found, lengths))
    return hits[np.searchsorted(hits, starts)]

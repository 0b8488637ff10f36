"""Measured levels over time: what the allocator, the driver and the system said, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memprof.trace import Trace
from memprof.trace.document import Ints


@dataclass(frozen=True, slots=True)
class Series:
    """One measured level.

    Attributes:
        time_ns: ascending.
        value: a value for each time.
    """

    time_ns: Ints
    value: Ints

    def __len__(self) -> int:
        return len(self.value)

    def at(self, time_ns: int) -> int | None:
        """The latest value up to then; None where there is none yet."""
        count = self._count(time_ns)
        return int(self.value[count - 1]) if count else None

    def around(self, time_ns: int) -> int | None:
        """The larger of the values before and after, for what was sampled now and then."""
        count = self._count(time_ns)
        near = self.value[max(0, count - 1) : count + 1]
        return int(near.max()) if len(near) else None

    def nearest_ns(self, time_ns: int) -> int | None:
        """The time of the latest value up to then, or of the first after it."""
        count = self._count(time_ns)
        return int(self.time_ns[max(0, count - 1)]) if len(self) else None

    def _count(self, time_ns: int) -> int:
        return int(np.searchsorted(self.time_ns, time_ns, side="right"))


def series(trace: Trace, name: str) -> Series:
    """The values of a series such as "host/rss_bytes"; none where it was never sampled."""
    rows = trace.samples
    number = trace.strings.index(name) if name in trace.strings else -1
    places = np.flatnonzero(rows.series == number)
    order = places[np.argsort(rows.time_ns[places], kind="stable")]
    return Series(rows.time_ns[order], rows.value[order])


def level_at(trace: Trace, name: str, time_ns: int) -> int | None:
    """The last value that a series had at `time_ns`; None where it had none yet."""
    return series(trace, name).at(time_ns)

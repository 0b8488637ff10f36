"""The analysis of one device: its levels over time and the moments worth looking at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from memprof.analyze import phases, timeline
from memprof.analyze.levels import CategoryPeak, Levels
from memprof.analyze.moment import Moment, moment_at_event, moment_at_time
from memprof.trace.document import Ints


class WorkspacePeak(NamedTuple):
    """The most bytes held with the workspaces of operations counted in.

    Attributes:
        bytes: live tensors and the workspace together.
        event: number of the last event up to then.
        op: the operation that ran.
        workspace: bytes that it used inside itself; 0 where the peak has no workspace.
    """

    bytes: int
    event: int
    op: str
    workspace: int


@dataclass(frozen=True)
class DeviceAnalysis:
    """What one device held over a trace; everything is worked out when first asked for."""

    levels: Levels

    @property
    def name(self) -> str:
        """The device's name, such as "cuda:0"."""
        return self.levels.device

    @property
    def events(self) -> Ints:
        """Numbers of the trace's events that concern the device, ascending."""
        return self.levels.events

    @property
    def time_ns(self) -> Ints:
        """Times of `events`."""
        return self.levels.time_ns

    @property
    def total(self) -> Ints:
        """Requested bytes after each of `events`."""
        return self.levels.total

    def series(self, category: str) -> Ints:
        """Requested bytes of one category after each of `events`."""
        return self.levels.series(category)

    @property
    def category_peaks(self) -> dict[str, CategoryPeak]:
        """Each category's own highest bytes and the first event that reached them (-1: never)."""
        return self.levels.category_peaks

    @cached_property
    def peak(self) -> Moment:
        """The first moment at which the device held the most."""
        if not len(self.total):
            return self.at_event(-1)
        return self.at_event(int(self.events[np.argmax(self.total)]))

    @cached_property
    def end(self) -> Moment:
        """The last moment of the trace."""
        return self.at_event(len(self.levels.trace.events) - 1)

    def at_event(self, event: int) -> Moment:
        """The moment right after event number `event` of the trace; -1 is before the first."""
        return moment_at_event(self.levels, event)

    def at_time(self, time_ns: int) -> Moment:
        """The moment at a time of the trace's clock."""
        return moment_at_time(self.levels, time_ns)

    @cached_property
    def peak_with_workspaces(self) -> WorkspacePeak:
        """The highest sum of live tensors and the workspace in use at that time."""
        plain = WorkspacePeak(self.peak.requested_bytes, self.peak.event, self.peak.op, 0)
        trace, rows = self.levels.trace, self.levels.trace.workspaces
        here = np.flatnonzero(rows.device == self.levels.number)
        if not len(here):
            return plain
        position = np.searchsorted(self.time_ns, rows.time_ns[here], side="right")
        held = np.concatenate([[0], self.total])[position] + rows.nbytes[here]
        highest = int(np.argmax(held))
        row = here[highest]
        event = trace.events.at(int(rows.time_ns[row])) - 1
        found = WorkspacePeak(
            int(held[highest]), event, trace.strings[rows.op[row]], int(rows.nbytes[row])
        )
        return found if found.bytes > plain.bytes else plain

    def downsample(
        self,
        begin_ns: int | None = None,
        end_ns: int | None = None,
        buckets: int = 900,
        categories: Sequence[str] | None = None,
    ) -> timeline.Timeline:
        """Few points for a chart of a window, every peak kept; see `timeline.downsample`.

        Without `begin_ns` and `end_ns` the window is the whole trace.
        """
        trace = self.levels.trace
        begin = trace.begin_ns if begin_ns is None else begin_ns
        end = phases.end_ns(trace) if end_ns is None else end_ns
        return timeline.downsample(self.levels, begin, end, buckets, categories)

"""Lines beside the stack: what was measured from outside, and what analysis expects."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from memprof.analyze.driver import uuid_of
from memprof.analyze.samples import series
from memprof.trace.document import Ints
from memprof_dashboard.subjects import Subject
from memprof_dashboard.theme import HOVER_FORMAT

#: The style sheet draws lines of this colour in the page's own ink, dark or light.
INK_LINE = "#010203"
_MOST_POINTS = 1_000
RESERVED, ALLOCATED, RESIDENT = "reserved", "allocated", "resident set (RSS)"
USED = "in use on the device (NVML)"
_COLORS = {RESERVED: "#d4621a", ALLOCATED: "#8b6bd1", RESIDENT: "#d4621a", USED: "#c2409a"}


@dataclass(frozen=True)
class Overlay:
    """One line of levels over time.

    Attributes:
        name: what the legend says.
        time_ns: of its points.
        value: bytes at each.
        color, dash: how it is drawn.
    """

    name: str
    time_ns: Ints
    value: Ints
    color: str
    dash: str = "solid"

    @property
    def shown_color(self) -> str:
        """Its colour in the legend, where the style sheet knows the page's ink."""
        return "var(--ink)" if self.color == INK_LINE else self.color

    def without(self, _hidden: Collection[str]) -> Overlay:
        """The line that belongs to a stack without some categories."""
        return self

    @property
    def highest(self) -> int:
        """The largest of the values."""
        return int(self.value.max(initial=0))

    def within(self, begin_ns: int, end_ns: int) -> tuple[Ints, Ints]:
        """The points of a window with one more at either end; every n-th where they are many."""
        first = max(0, int(np.searchsorted(self.time_ns, begin_ns)) - 1)
        last = int(np.searchsorted(self.time_ns, end_ns, side="right")) + 1
        times, values = self.time_ns[first:last], self.value[first:last]
        if len(times) <= _MOST_POINTS:
            return times, values
        starts = np.arange(0, len(times), -(-len(times) // _MOST_POINTS))
        return times[starts], np.maximum.reduceat(values, starts)

    def frame(self, unit: str) -> dict[str, Any]:
        """The line without its points."""
        line = {"width": 1.6, "shape": "hv", "color": self.color, "dash": self.dash}
        return {
            "type": "scatter",
            "mode": "lines",
            "name": self.name,
            "line": line,
            "hovertemplate": f"%{{y:{HOVER_FORMAT}}} {unit}",
        }


def sampled_lines(subject: Subject) -> list[Overlay]:
    """What was measured from outside while the trace ran."""
    known = {
        f"{subject.name}/reserved_bytes": RESERVED,
        f"{subject.name}/allocated_bytes": ALLOCATED,
        f"nvml/{uuid_of(subject.trace, subject.name)}/used_bytes": USED,
    }
    if subject.name == "cpu":
        known["host/rss_bytes"] = RESIDENT
    found = [_sampled(subject, text, name) for text, name in known.items()]
    return [line for line in found if line.highest]


def _sampled(subject: Subject, name: str, told: str) -> Overlay:
    found = series(subject.trace, name)
    return Overlay(told, found.time_ns, found.value, _COLORS[told])

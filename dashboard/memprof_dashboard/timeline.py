"""The timeline: bytes by category over time, as few points as a screen can show."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache, cached_property
from typing import Any

import numpy as np
from dash import Patch

from memprof.analyze import Moment, Timeline
from memprof.trace import CATEGORIES
from memprof.trace.document import Ints
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.bands import Bands, band_trace
from memprof_dashboard.estimates import ExpectedLine, estimate_line
from memprof_dashboard.overlays import Overlay, sampled_lines
from memprof_dashboard.scale import typed_array
from memprof_dashboard.subjects import Subject
from memprof_dashboard.theme import MUTED, STACK, base_layout
from memprof_dashboard.timeline_parts import (
    area,
    axes,
    bars,
    merged,
    nested,
    selection_line,
    step_lines,
    total_line,
)

#: Spans of time that a window is cut into; each gives its highest and its lowest moment.
BUCKETS = 700
_FAR_ABOVE = 1.6  # times the peak: a line higher than that is hidden at first
_HEADROOM = 1.12


class TimelineFigure:
    """Draws one subject, at first whole and then window by window.

    Its layers are the categories from the bottom of the stack up, then the lines; `hidden` in
    its methods names those that are switched off.

    Args:
        subject: what to draw.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.bands = Bands(subject.trace)
        peaks = subject.device.category_peaks
        self.categories = [category for category in STACK if peaks[category].bytes]
        self._summit_without = cache(self._find_summit)
        expected = estimate_line(subject)
        self.lines: list[Overlay] = [*sampled_lines(subject), *([expected] if expected else [])]

    @cached_property
    def hidden_at_first(self) -> tuple[str, ...]:
        """Lines so high that the rest would be flat beside them."""
        most = _FAR_ABOVE * self.subject.peak.requested_bytes
        return tuple(line.name for line in self.lines if line.highest > most)

    def undrawn(self, hidden: Collection[str]) -> frozenset[str]:
        """Lines that are hidden, and the estimate where it would speak of another moment.

        What is expected of each step is expected at its peak; without some of the categories the
        rest may be highest elsewhere.
        """
        seen = sum(self.subject.peak.by_category[category] for category in self._seen(hidden))
        apart = self._summit(hidden)[1] > seen
        expected = [line.name for line in self.lines if isinstance(line, ExpectedLine)]
        lines = {line.name for line in self.lines} & set(hidden)
        return frozenset([*lines, *(expected if apart else ())])

    def figure(self, timeline: Timeline, moment: Moment, hidden: Collection[str]) -> dict[str, Any]:
        """A window with the chosen moment marked."""
        traces = zip(self._frames(), self._data(timeline, hidden), strict=True)
        data = [merged(frame, nested(points)) for frame, points in traces]
        return {"data": data, "layout": self._layout(timeline, moment, hidden)}

    def change(self, timeline: Timeline, moment: Moment, hidden: Collection[str]) -> Patch:
        """The change of the picture that shows another window or other layers."""
        patch = Patch()
        for number, data in enumerate(self._data(timeline, hidden)):
            for key, value in data.items():
                place = patch["data"][number]
                *parents, last = key.split(".")
                for parent in parents:
                    place = place[parent]
                place[last] = value
        patch["layout"]["shapes"] = self._shapes(timeline, moment)
        patch["layout"]["annotations"] = [self._summit_mark(hidden)]
        patch["layout"]["yaxis"]["range"] = [0, self._top(hidden)]
        return patch

    def sample(self, begin_ns: int, end_ns: int, hidden: Collection[str] = ()) -> Timeline:
        """The points of a window, chosen by what is to be seen."""
        seen = self._seen(hidden)
        chosen = None if len(seen) == len(self.categories) else seen
        return self.subject.device.downsample(begin_ns, max(begin_ns + 1, end_ns), BUCKETS, chosen)

    def _seen(self, hidden: Collection[str]) -> list[str]:
        return [category for category in self.categories if category not in hidden]

    def _data(self, timeline: Timeline, hidden: Collection[str]) -> list[dict[str, Any]]:
        """What changes with the window, trace by trace, in the order of `_frames`."""
        scale, seconds = self.subject.scale, typed_array(timeline.seconds)
        data: list[dict[str, Any]] = []
        for category in self.categories:
            held = timeline.by_category[CATEGORIES.index(category)]
            seen = category not in hidden
            data.append({"x": seconds, "y": scale.typed(held), "visible": seen})
        events = timeline.event.astype(np.int32)
        seen_total = self.seen_total(timeline.by_category, hidden)
        data.append({"x": seconds, "y": scale.typed(seen_total), "customdata": typed_array(events)})
        begin, end = int(timeline.time_ns[0]), int(timeline.time_ns[-1])
        undrawn = self.undrawn(hidden)
        for line in self.lines:
            times, values = line.without(hidden).within(begin, end)
            at = typed_array((times - self.subject.trace.begin_ns) / 1e9)
            data.append({"x": at, "y": scale.typed(values), "visible": line.name not in undrawn})
        span = float(timeline.seconds[0]), float(timeline.seconds[-1])
        return [*data, band_trace(self.bands.within(*span), span)]

    def seen_total(self, by_category: Ints, hidden: Collection[str]) -> Ints:
        """Bytes of what is not hidden, of an array with a row for each category."""
        rows = [CATEGORIES.index(category) for category in self._seen(hidden)]
        total: Ints = by_category[rows].sum(axis=0)
        return total

    def _frames(self) -> list[dict[str, Any]]:
        unit = self.subject.scale.unit
        areas = [area(category, unit) for category in self.categories]
        return [*areas, total_line(unit), *(line.frame(unit) for line in self.lines), bars()]

    def _layout(
        self, timeline: Timeline, moment: Moment, hidden: Collection[str]
    ) -> dict[str, Any]:
        span = [float(timeline.seconds[0]), float(timeline.seconds[-1])]
        return base_layout(
            hovermode="x unified",
            clickanywhere=True,
            dragmode="zoom",
            margin={"l": 64, "r": 12, "t": 8, "b": 30},
            showlegend=False,
            shapes=self._shapes(timeline, moment),
            annotations=[self._summit_mark(hidden)],
            **axes(span, self._top(hidden), self.subject.scale.unit, self.bands.rows),
        )

    def _shapes(self, timeline: Timeline, moment: Moment) -> list[dict[str, Any]]:
        return [selection_line(moment), *step_lines(self.subject.trace, timeline)]

    def _top(self, hidden: Collection[str]) -> float:
        """Where the axis of bytes ends: above everything that is to be seen."""
        undrawn = self.undrawn(hidden)
        lines = [line.without(hidden).highest for line in self.lines if line.name not in undrawn]
        return _HEADROOM * max(1, self._summit(hidden)[1], *lines) / self.subject.scale.factor

    def _summit(self, hidden: Collection[str]) -> tuple[float, int]:
        """When the layers that are to be seen are highest together, in seconds, and their bytes."""
        return self._summit_without(frozenset(hidden) & frozenset(self.categories))

    def _find_summit(self, hidden: frozenset[str]) -> tuple[float, int]:
        peak = self.subject.peak
        if len(self._seen(hidden)) == len(self.categories):
            return peak.seconds, peak.requested_bytes
        whole = self.sample(*self.subject.window_ns, hidden)
        seen = self.seen_total(whole.by_category, hidden)
        place = int(np.argmax(seen))
        return float(whole.seconds[place]), int(seen[place])

    def _summit_mark(self, hidden: Collection[str]) -> dict[str, Any]:
        at, nbytes = self._summit(hidden)
        begin, end = ((ns - self.subject.trace.begin_ns) / 1e9 for ns in self.subject.window_ns)
        late = at > begin + 0.75 * (end - begin)
        name = "peak" if len(self._seen(hidden)) == len(self.categories) else "highest of these"
        return {
            "x": at,
            "y": nbytes / self.subject.scale.factor,
            "text": f"<b>{name} {format_bytes(nbytes)}</b>",
            "font": {"color": MUTED},
            "showarrow": True,
            "arrowhead": 6,
            "arrowsize": 1.2,
            "arrowwidth": 1,
            "ax": -26 if late else 26,
            "ay": -16,
            "xanchor": "right" if late else "left",
            "name": "peak",
        }

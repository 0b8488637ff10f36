"""What a click or a zoom on the timeline means: an event, a window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memprof_dashboard.subjects import Subject

#: Begin and end in seconds since the trace began; () is the whole trace.
Window = tuple[float, float] | tuple[()]

_FINGER = 0.002  # of the window: some two pixels to either side
_NEARLY_ALL = 0.999


def clicked_event(
    subject: Subject, click: Mapping[str, Any] | None, window: Sequence[float] | None
) -> int | None:
    """The event that a click means: where several share its pixels, the highest of them.

    Args:
        subject: what the chart shows.
        click: what the chart says of the click.
        window: what the chart shows of it, as `within` gives it.
    """
    points = (click or {}).get("points") or []
    times = (click or {}).get("xvals") or [point.get("x") for point in points]
    if not times or not isinstance(times[0], int | float):
        return None
    time_ns = subject.trace.begin_ns + round(times[0] * 1e9)
    begin, end = subject.span_ns(window)
    reach = round((end - begin) * _FINGER)
    edges = [time_ns - reach, time_ns + reach]
    first, last = np.searchsorted(subject.device.time_ns, edges).tolist()
    if last - first > 1:
        return int(subject.device.events[first + np.argmax(subject.device.total[first:last])])
    hovered = [point["customdata"] for point in points if isinstance(point.get("customdata"), int)]
    return int(hovered[0]) if hovered else subject.trace.events.at(time_ns) - 1


def neighbour(subject: Subject, event: int, direction: int) -> int:
    """The device's next (`direction` 1) or previous (-1) event; the same where there is none."""
    events = subject.device.events
    if direction > 0:
        place = int(np.searchsorted(events, event, side="right"))
    else:
        place = int(np.searchsorted(events, event, side="left")) - 1
    return int(events[place]) if 0 <= place < len(events) else event


def neighbour_step(subject: Subject, event: int, direction: int) -> int:
    """The highest moment of the next (`direction` 1) or previous (-1) step; else the same."""
    time_ns = int(subject.trace.events.time_ns[event]) if event >= 0 else subject.trace.begin_ns
    place = int(np.searchsorted(subject.trace.steps.begin_ns, time_ns, side="right")) - 1
    rows = subject.steps
    wanted = place + direction
    return rows[wanted].peak_event if 0 <= wanted < len(rows) else event


def zoomed_to(relayout: Mapping[str, Any] | None) -> Window | None:
    """The window that the chart was zoomed to; None where it was not."""
    known = relayout or {}
    if any(key.startswith("xaxis") and key.endswith("autorange") for key in known):
        return ()
    if "xaxis.range" in known:
        begin, end = known["xaxis.range"]
    elif "xaxis.range[0]" in known and "xaxis.range[1]" in known:
        begin, end = known["xaxis.range[0]"], known["xaxis.range[1]"]
    else:
        return None
    return (float(begin), float(end)) if begin < end else None


def within(subject: Subject, window: Window | None) -> list[float] | None:
    """The part of a window in which the trace lies; None where that is the whole trace."""
    if not window:
        return None
    first, last = ((at - subject.trace.begin_ns) / 1e9 for at in subject.window_ns)
    begin, end = max(first, window[0]), min(last, window[1])
    is_whole = end - begin > _NEARLY_ALL * (last - first)
    return None if begin >= end or is_whole else [begin, end]

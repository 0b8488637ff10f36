"""One moment in words and bars: how much, when, where, and of what."""

from __future__ import annotations

from typing import Any

from dash import html

from memprof.analyze import Moment
from memprof.palette import CATEGORY_COLORS
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.estimates import estimated
from memprof_dashboard.scale import format_clock, format_seconds
from memprof_dashboard.subjects import Subject
from memprof_dashboard.theme import label


def headline(subject: Subject, moment: Moment) -> list[Any]:
    """What was held, when and where."""
    peak = subject.peak
    parts: list[Any] = [
        html.Span(format_bytes(moment.requested_bytes), className="amount", id="moment-bytes"),
        html.Span(_against_peak(moment, peak), className=_badge(moment, peak)),
        html.Span(f"at {format_clock(moment.seconds)}", className="where"),
    ]
    if moment.step is not None:
        parts.append(html.Span(f"step {moment.step}", className="where"))
    place = " of ".join(part for part in (moment.phase, moment.module) if part)
    if place:
        parts.append(html.Span(_breakable(place), className="where place", title=place))
    return parts


def _breakable(path: str) -> list[Any]:
    """Lets a long line break behind the dots of a path."""
    first, *rest = path.split(".")
    return [first, *(piece for part in rest for piece in (".", html.Wbr(), part))]


def _badge(moment: Moment, peak: Moment) -> str:
    return "badge peak" if moment.event == peak.event else "badge"


def _against_peak(moment: Moment, peak: Moment) -> str:
    if moment.event == peak.event:
        return "the peak"
    if not peak.requested_bytes:
        return "nothing held"
    side = "before" if moment.time_ns < peak.time_ns else "after"
    away = format_seconds(abs(moment.time_ns - peak.time_ns) / 1e9)
    return f"{moment.requested_bytes / peak.requested_bytes:.0%} of the peak, {away} {side} it"


def category_bars(subject: Subject, moment: Moment) -> list[Any]:
    """One line a category that holds anything, the largest first, with its estimate marked."""
    expected = estimated(subject, moment)
    held = sorted(moment.by_category.items(), key=lambda item: -item[1])
    largest = max(1, held[0][1])
    return [
        _bar(category, nbytes, moment.requested_bytes, largest, expected.get(category))
        for category, nbytes in held
        if nbytes
    ] or [html.P("Nothing was held at this moment.", className="quiet")]


def _bar(category: str, nbytes: int, total: int, largest: int, expected: int | None) -> Any:
    fill = {"width": _percent(nbytes, largest), "background": CATEGORY_COLORS[category]}
    track = [html.Span(className="bar-fill", style=fill)]
    told = f"{label(category)}: {format_bytes(nbytes)}"
    if expected is not None:
        track.append(html.Span(className="bar-mark", style={"left": _percent(expected, largest)}))
        told += f", estimated {format_bytes(expected)}"
    return html.Button(
        [
            html.Span(label(category), className="bar-name"),
            html.Span(track, className="bar-track"),
            html.Span(format_bytes(nbytes), className="bar-bytes"),
            html.Span(f"{nbytes / total:.1%}", className="bar-share"),
        ],
        className="bar",
        title=f"{told}. Click to list its tensors.",
        id={"kind": "bar", "category": category},
    )


def _percent(nbytes: int, largest: int) -> str:
    return f"{min(100.0, 100 * nbytes / largest):.2f}%"

"""The timeline's legend, which switches its layers off and on, and what it says of its points."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from dash import html

from memprof.analyze import Timeline
from memprof.palette import CATEGORY_COLORS
from memprof_dashboard.theme import label
from memprof_dashboard.timeline import TimelineFigure

_APART = "Not drawn: it speaks of each step's peak, and what is left is highest at another moment"


def legend(chart: TimelineFigure, hidden: Collection[str]) -> list[Any]:
    """A button for each area and line, from the top of the stack to its bottom."""
    areas = [
        _chip(category, label(category), _area_sample(category), hidden)
        for category in reversed(chart.categories)
    ]
    apart = chart.undrawn(hidden) - set(hidden)
    lines = [
        _chip(
            line.name,
            line.name,
            html.I(className=f"line {line.dash}", style={"borderColor": line.shown_color}),
            hidden,
            apart=line.name in apart,
        )
        for line in chart.lines
    ]
    return areas + lines


def events_text(timeline: Timeline) -> str:
    """How many of a window's events are drawn."""
    shown, total = timeline.shown, timeline.total_events
    if shown >= total:
        return f"{total:,} events" if total != 1 else "1 event"
    return f"{shown:,} of {total:,} events drawn, every peak among them"


def _area_sample(category: str) -> Any:
    return html.I(style={"background": CATEGORY_COLORS[category]})


def _chip(key: str, name: str, sample: Any, hidden: Collection[str], *, apart: bool = False) -> Any:
    title = f"{'Show' if key in hidden else 'Hide'} {name}"
    return html.Button(
        [sample, name],
        id={"kind": "layer", "key": key},
        className="chip off" if apart or key in hidden else "chip",
        title=_APART if apart else title,
    )

"""What the timeline is drawn with: areas, lines, bars and axes, without their data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memprof.analyze import Moment, Timeline
from memprof.palette import CATEGORY_COLORS
from memprof.trace import Trace
from memprof_dashboard.theme import ACCENT, HOVER_FORMAT, MUTED, label

_STEP_LINES = 24
_BAND_SHARE = 0.056  # of the picture's height, for each row of bars
_GAP = 0.02


def area(category: str, unit: str) -> dict[str, Any]:
    """One category of the stack."""
    color = CATEGORY_COLORS[category]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(category),
        "stackgroup": "held",
        "line": {"width": 0, "shape": "hv", "color": color},
        "fillcolor": color,
        "hovertemplate": f"%{{y:{HOVER_FORMAT}}} {unit}",
    }


def total_line(unit: str) -> dict[str, Any]:
    """The upper edge of the stack; its points carry the events they stand for."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "<b>total</b>",
        "line": {"width": 1, "color": MUTED, "shape": "hv"},
        "opacity": 0.6,
        "hovertemplate": f"<b>%{{y:{HOVER_FORMAT}}} {unit}</b>",
    }


def bars() -> dict[str, Any]:
    """Steps and phases."""
    return {
        "type": "bar",
        "name": "phases",
        "orientation": "h",
        "yaxis": "y2",
        "width": 0.88,
        "marker": {"line": {"width": 0}},
        "textposition": "inside",
        "insidetextanchor": "middle",
        "constraintext": "none",
        "textangle": 0,
        "textfont": {"size": 11},
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def axes(span: Sequence[float], top: float, unit: str, rows: int) -> dict[str, Any]:
    """Time, bytes above it, and `rows` rows of bars between the two."""
    bands = rows * _BAND_SHARE
    still = {"zeroline": False, "fixedrange": True}
    return {
        "xaxis": {
            "range": list(span),
            "anchor": "y2",
            "ticksuffix": "s",
            "exponentformat": "SI",
            "minexponent": 2,
            "zeroline": False,
            "showgrid": False,
            "hoverformat": ".6~s",
            "nticks": 10,
            "spikethickness": 1,
            "spikedash": "solid",
            "spikecolor": MUTED,
        },
        "yaxis": {
            **still,
            "domain": [bands + _GAP if rows else 0, 1],
            "range": [0, top],
            "ticksuffix": f" {unit}",
            "gridcolor": "#d9dee3",
        },
        "yaxis2": {
            **still,
            "domain": [0, bands or 0.001],
            "range": [0.5 - max(1, rows), 0.5],
            "showticklabels": False,
            "showgrid": False,
        },
    }


def selection_line(moment: Moment) -> dict[str, Any]:
    """The line at the chosen moment."""
    at = {"x0": moment.seconds, "x1": moment.seconds, "y0": 0, "y1": 1}
    line = {"color": ACCENT, "width": 1.5}
    return {"type": "line", "name": "chosen", "xref": "x", "yref": "paper", **at, "line": line}


def step_lines(trace: Trace, timeline: Timeline) -> list[dict[str, Any]]:
    """A thin line where each step of the window begins; none where they would be a hatching."""
    begins = trace.steps.begin_ns
    shown = begins[(begins > timeline.time_ns[0]) & (begins < timeline.time_ns[-1])]
    if len(shown) > _STEP_LINES:
        return []
    line = {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    style = {"line": {"color": MUTED, "width": 1, "dash": "dot"}, "opacity": 0.6}
    at = (shown - trace.begin_ns) / 1e9
    return [{**line, **style, "x0": x, "x1": x} for x in at.tolist()]


def nested(data: dict[str, Any]) -> dict[str, Any]:
    """Turns a key such as "marker.color" into one dict in another."""
    result: dict[str, Any] = {}
    for key, value in data.items():
        place = result
        *parents, last = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return result


def merged(frame: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Adds entries to a dict, going into the dicts in it."""
    result = dict(frame)
    for key, value in data.items():
        known = result.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            value = merged(known, value)
        result[key] = value
    return result

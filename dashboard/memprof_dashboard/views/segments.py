"""Charts of the allocator: its segments as rows of blocks, its levels as lines."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from memprof.palette import CATEGORY_COLORS
from memprof.predict.replay.at_moment import AllocatorMoment
from memprof.trace import CATEGORIES
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.overlays import INK_LINE
from memprof_dashboard.scale import Scale, scale_for, typed_array
from memprof_dashboard.subjects import Subject
from memprof_dashboard.theme import HOVER_FORMAT, MUTED, SERIES, base_layout, label

#: Rows at most, the largest segments; and points of the lines.
ROWS = 48
_POINTS = 1_500
_HOLE = "rgba(128,136,148,0.20)"


def segments_figure(subject: Subject, found: AllocatorMoment) -> dict[str, Any]:
    """One row a segment, the largest on top; blocks in their category's colour, holes grey."""
    rows = sorted(found.segments, key=lambda segment: (-segment.size, segment.address))[:ROWS]
    scale = scale_for(rows[0].size)
    bars: dict[str, list[Any]] = {key: [] for key in ("base", "x", "y", "color", "told")}
    for place, segment in enumerate(rows):
        for block in segment.blocks:
            color, told = _block(subject, found.allocation(block), block.requested)
            bars["base"].append((block.address - segment.address) / scale.factor)
            bars["x"].append(block.size / scale.factor)
            bars["y"].append(-place)
            bars["color"].append(color)
            bars["told"].append(f"{told}<br>{format_bytes(block.size)} of its segment")
    trace = {
        "type": "bar",
        "orientation": "h",
        "base": bars["base"],
        "x": bars["x"],
        "y": bars["y"],
        "width": 0.84,
        "marker": {"color": bars["color"], "line": {"width": 0.5, "color": "rgba(20,23,27,0.35)"}},
        "hovertext": bars["told"],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "textposition": "none",
    }
    names = [f"{format_bytes(row.size)}{' small' if row.small else ''} " for row in rows]
    layout = base_layout(
        margin={"l": 118, "r": 12, "t": 4, "b": 28},
        barmode="overlay",
        hovermode="closest",
        showlegend=False,
        xaxis={"ticksuffix": f" {scale.unit}", "zeroline": False, "gridcolor": "#d9dee3"},
        yaxis={
            "tickvals": [-place for place in range(len(rows))],
            "ticktext": names,
            "tickfont": {"size": 10.5},
            "ticksuffix": " ",
            "showgrid": False,
            "zeroline": False,
            "range": [-max(len(rows), 8) + 0.4, 0.6],
        },
        height=max(220, 40 + 17 * len(rows)),
    )
    return {"data": [trace], "layout": layout}


def _block(subject: Subject, allocation: int | None, requested: int) -> tuple[str, str]:
    if allocation is None:
        return _HOLE, "free"
    levels = subject.device.levels
    attribution, strings = levels.attribution, levels.trace.strings
    category = CATEGORIES[attribution.category[allocation]]
    name = strings[attribution.name[allocation]] or strings[levels.trace.allocations.op[allocation]]
    told = f"<b>{escape(name)}</b><br>{label(category)}, {format_bytes(requested)} requested"
    return CATEGORY_COLORS[category], told


def levels_figure(subject: Subject, found: AllocatorMoment) -> dict[str, Any]:
    """Requested, allocated, reserved and fragmented bytes, every n-th point's highest."""
    result, zero = found.result, subject.trace.begin_ns
    scale = scale_for(result.end.reserved_peak)
    starts = np.arange(0, len(found.time_ns), max(1, -(-len(found.time_ns) // _POINTS)))
    at = typed_array((found.time_ns[starts] - zero) / 1e9)
    levels = {
        "reserved": (result.reserved, {"color": SERIES[3]}),
        "allocated": (result.allocated, {"color": SERIES[4]}),
        "requested": (result.requested, {"color": MUTED}),
        "fragmented": (result.fragmented, {"color": INK_LINE, "dash": "dot"}),
    }
    lines = [
        _line(name, at, np.maximum.reduceat(values[: len(found.time_ns)], starts), style, scale)
        for name, (values, style) in levels.items()
    ]
    layout = base_layout(
        margin={"l": 72, "r": 12, "t": 8, "b": 30},
        hovermode="x unified",
        legend={
            **{"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "bgcolor": "rgba(0,0,0,0)",
        },
        xaxis={
            **{"ticksuffix": "s", "exponentformat": "SI", "minexponent": 2},
            **{"zeroline": False, "showgrid": False},
        },
        yaxis={
            **{"ticksuffix": f" {scale.unit}", "zeroline": False, "rangemode": "tozero"},
            "gridcolor": "#d9dee3",
        },
    )
    return {"data": lines, "layout": layout}


def _line(name: str, at: Any, values: Any, style: dict[str, Any], scale: Scale) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": at,
        "y": scale.typed(values),
        "line": {"width": 1.6, "shape": "hv", **style},
        "hovertemplate": f"%{{y:{HOVER_FORMAT}}} {scale.unit}",
    }

"""Two runs' steps over one another."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from memprof.analyze import DeviceAnalysis, StepRow, step_table
from memprof_dashboard.scale import Scale, scale_for
from memprof_dashboard.theme import HOVER_FORMAT, SERIES, base_layout

_COLORS = (SERIES[1], SERIES[0])


def aligned_figure(
    devices: Sequence[DeviceAnalysis | None], names: Sequence[str]
) -> dict[str, Any]:
    """The peak of every step of both runs as lines, and what each step leaves as dotted ones."""
    tables = [step_table(device) if device is not None else [] for device in devices]
    peaks = [row.peak_bytes for rows in tables for row in rows]
    scale = scale_for(max(peaks, default=1))
    lines = []
    for rows, name, color in zip(tables, names, _COLORS, strict=True):
        lines.append(_line(rows, [row.peak_bytes for row in rows], f"{name}: peak", color, scale))
        ends = [row.end_bytes for row in rows]
        lines.append(_line(rows, ends, f"{name}: left at the end", color, scale, "dot"))
    layout = base_layout(
        margin={"l": 64, "r": 12, "t": 8, "b": 40},
        hovermode="x unified",
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "bgcolor": "rgba(0,0,0,0)",
        },
        xaxis={"title": {"text": "step"}, "zeroline": False, "showgrid": False},
        yaxis={
            "ticksuffix": f" {scale.unit}",
            "zeroline": False,
            "rangemode": "tozero",
            "gridcolor": "#d9dee3",
        },
    )
    return {"data": lines, "layout": layout}


def _line(
    rows: Sequence[StepRow], held: list[int], name: str, color: str, scale: Scale, dash: str = ""
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(rows) < 100 else "lines",
        "name": escape(name),
        "x": [row.step for row in rows],
        "y": scale.typed(np.array(held, np.int64)),
        "line": {"color": color, "width": 1.8, "dash": dash or "solid"},
        "marker": {"size": 4},
        "hovertemplate": f"%{{y:{HOVER_FORMAT}}} {scale.unit}",
    }

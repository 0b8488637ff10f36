"""Charts of the steps: all of them over one another, and what they leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from memprof.analyze import Leak, StepRow
from memprof.analyze.steps import StepCurve, odd_steps, step_curves
from memprof_dashboard.scale import Scale, scale_for, typed_array
from memprof_dashboard.subjects import Subject
from memprof_dashboard.theme import HOVER_FORMAT, MUTED, SERIES, base_layout

_MOST_CURVES = 60
_MOST_NAMED = 4


def overlay_figure(subject: Subject, rows: Sequence[StepRow]) -> dict[str, Any]:
    """Every step's level since its beginning; of many, evenly chosen ones and all named ones."""
    named = _named(rows)
    every = -(-len(rows) // _MOST_CURVES)
    drawn = [row for row in rows if row.step % every == 0 and row.step not in named]
    drawn += [row for row in rows if row.step in named]
    curves = step_curves(subject.device, drawn)
    scale = scale_for(max(row.peak_bytes for row in rows))
    colors = iter(SERIES)
    lines = [
        _line(curve, scale, named.get(curve.step), next(colors) if curve.step in named else MUTED)
        for curve in curves
    ]
    return {"data": lines, "layout": _layout("s", scale)}


def _named(rows: Sequence[StepRow]) -> dict[int, str]:
    """What stands out, and as what."""
    highest = max(rows, key=lambda row: row.peak_bytes)
    odd = {row.step: f"step {row.step}" for row in odd_steps(rows)[:_MOST_NAMED]}
    first = {0: "step 0"} if len(rows) > 1 else {}
    return {**first, **odd, highest.step: f"step {highest.step}, the highest"}


def _line(curve: StepCurve, scale: Scale, name: str | None, color: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name or f"step {curve.step}",
        "showlegend": name is not None,
        "line": {"shape": "hv", "width": 1.8 if name else 1, "color": color},
        "opacity": 1 if name else 0.45,
        "x": typed_array(curve.seconds),
        "y": scale.typed(curve.total),
        "hovertemplate": f"step {curve.step}: %{{y:{HOVER_FORMAT}}} {scale.unit}<extra></extra>",
    }


def kept_figure(leaks: Sequence[Leak]) -> dict[str, Any]:
    """What each leaking line holds after each step."""
    shown = leaks[: len(SERIES)]
    scale = scale_for(max(max(leak.held) for leak in shown))
    lines = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": escape(leak.place),
            "line": {"color": color, "width": 1.8},
            "marker": {"size": 4},
            "x": list(range(len(leak.held))),
            "y": scale.typed(np.array(leak.held)),
            "hovertemplate": f"after step %{{x}}: %{{y:{HOVER_FORMAT}}} {scale.unit}",
        }
        for leak, color in zip(shown, SERIES, strict=False)
    ]
    return {"data": lines, "layout": _layout("", scale, title="step")}


def _layout(suffix: str, scale: Scale, title: str = "") -> dict[str, Any]:
    return base_layout(
        margin={"l": 64, "r": 12, "t": 8, "b": 40 if title else 28},
        hovermode="closest",
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "bgcolor": "rgba(0,0,0,0)",
        },
        xaxis={
            "ticksuffix": suffix,
            "zeroline": False,
            "showgrid": False,
            "rangemode": "tozero",
            "exponentformat": "SI",
            "minexponent": 2,
            "title": {"text": title},
        },
        yaxis={
            "ticksuffix": f" {scale.unit}",
            "zeroline": False,
            "rangemode": "tozero",
            "gridcolor": "#d9dee3",
        },
    )

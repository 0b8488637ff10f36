"""Charts of formulas at work: the cache by tokens, activations by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from memprof.analyze.curves import CachePoint, LayerBytes
from memprof.palette import CATEGORY_COLORS
from memprof_dashboard.overlays import INK_LINE
from memprof_dashboard.scale import Scale, scale_for
from memprof_dashboard.theme import HOVER_FORMAT, base_layout

_EXPECTED = {"color": INK_LINE, "width": 1.6, "dash": "dash"}


def cache_figure(points: Sequence[CachePoint]) -> dict[str, Any]:
    """Measured bytes of the cache after each call as dots, the formula's as a line."""
    scale = scale_for(max(point.measured for point in points))
    told = f"%{{y:{HOVER_FORMAT}}} {scale.unit}"
    tokens = [point.tokens for point in points]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": "measured",
        "x": tokens,
        "y": scale.typed(np.array([point.measured for point in points])),
        "marker": {"color": CATEGORY_COLORS["kv_cache"], "size": 7},
        "hovertemplate": told,
    }
    known = sorted((p.tokens, p.expected) for p in points if p.expected is not None)
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "analytic",
        "x": [at for at, _ in known],
        "y": scale.typed(np.array([nbytes for _, nbytes in known], np.int64)),
        "line": _EXPECTED,
        "hovertemplate": told,
    }
    return {"data": [line, dots] if known else [dots], "layout": _layout("tokens", scale)}


def layers_figure(layers: LayerBytes) -> dict[str, Any]:
    """What each block keeps as a bar, what the formula gives each as a line across."""
    scale = scale_for(max([*layers.measured.values(), layers.expected or 0]))
    numbers = list(layers.measured)
    told = f"%{{y:{HOVER_FORMAT}}} {scale.unit}"
    bars = {
        "type": "bar",
        "name": "measured",
        "x": numbers,
        "y": scale.typed(np.array(list(layers.measured.values()))),
        "marker": {"color": CATEGORY_COLORS["activations"]},
        "hovertemplate": told,
    }
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "analytic",
        "x": [numbers[0] - 0.5, numbers[-1] + 0.5],
        "y": [(layers.expected or 0) / scale.factor] * 2,
        "line": _EXPECTED,
        "hovertemplate": told,
    }
    return {
        "data": [bars, line] if layers.expected is not None else [bars],
        "layout": _layout("layer", scale),
    }


def _layout(title: str, scale: Scale) -> dict[str, Any]:
    return base_layout(
        margin={"l": 72, "r": 12, "t": 8, "b": 40},
        hovermode="x unified",
        bargap=0.25,
        legend={
            **{"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "bgcolor": "rgba(0,0,0,0)",
        },
        xaxis={"title": {"text": title}, "zeroline": False, "showgrid": False},
        yaxis={
            "ticksuffix": f" {scale.unit}",
            "zeroline": False,
            "rangemode": "tozero",
            "gridcolor": "#d9dee3",
        },
    )

"""How everything looks: stacking order, colours, and the settings that every chart shares.

Text, grid lines and backgrounds of charts are coloured by the style sheet, which follows the
system's dark or light setting; the colours given here are those of a chart saved as a picture.
"""

from __future__ import annotations

from typing import Any, Final

from memprof.palette import CATEGORY_COLORS
from memprof.trace import CATEGORIES

#: From the bottom of the stack to its top: what stays for long first, what comes and goes last.
STACK: Final = (
    "weights",
    "buffers",
    "optimizer_state",
    "gradients",
    "kv_cache",
    "recurrent_state",
    "inputs",
    "communication",
    "activations",
    "temporary",
    "unattributed",
)
assert set(STACK) == set(CATEGORIES) == set(CATEGORY_COLORS)

INK: Final = "#1f2328"
MUTED: Final = "#6e7781"
ACCENT: Final = "#d4351c"
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

#: Lines that stand for no category: steps, places, devices.
SERIES: Final = ("#d4351c", "#3b7dd8", "#1f9e89", "#c77d0a", "#8b6bd1", "#7d8794")

#: Five digits that matter: what is not 0 does not read as 0.
HOVER_FORMAT: Final = ",.5~g"

#: Nothing here may send data away or show the maker of the chart library.
GRAPH_CONFIG: Final[dict[str, Any]] = {
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "displaylogo": False,
    "showTips": False,
}
#: Of charts that are looked at and not zoomed: they can be saved as a picture.
PICTURE_CONFIG: Final[dict[str, Any]] = {**GRAPH_CONFIG, "modeBarButtons": [["toImage"]]}


#: What every table shares.
GRID_OPTIONS: Final[dict[str, Any]] = {
    "theme": {"function": "themeQuartz"},
    "rowHeight": 28,
    "headerHeight": 32,
    "animateRows": False,
    "tooltipShowDelay": 300,
    "enableCellTextSelection": True,
    "suppressColumnVirtualisation": True,
}

SELECT_ROW: Final = {"mode": "singleRow", "checkboxes": False, "enableClickSelection": True}


def label(category: str) -> str:
    """A category's name as people read it: "optimizer state"."""
    return {"kv_cache": "KV cache"}.get(category, category.replace("_", " "))


def base_layout(**more: Any) -> dict[str, Any]:
    """Layout entries that every chart shares."""
    return {
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "uirevision": "kept",
        **more,
    }

"""What the keyboard does; the script in `assets` presses the buttons that these keys name."""

from __future__ import annotations

from typing import Any

from dash import html

from memprof_dashboard.amounts import is_decimal

_KEYS = {
    "P": "go to the peak",
    "← →": "previous and next event",
    "[ ]": "previous and next step, each at its highest",
    "B": "categories, blocks, blocks that change",
    "W": "the whole trace",
    "1 … 9": "the views under the timeline",
    "/": "filter the live tensors",
    "U": "GiB or GB",
    "Esc": "close what is open",
    "?": "this help",
}
_MOUSE = {
    "drag": "zoom to a part of the timeline; a double click undoes it",
    "click": "choose a moment, open a tensor, hide a category in the legend",
    "double click": "on a category in the legend: show it alone",
}


def help_dialog() -> Any:
    """Keys and gestures in a window of their own."""
    rows = [
        html.Tr([html.Td(html.Kbd(key)), html.Td(text)])
        for key, text in {**_KEYS, **_MOUSE}.items()
    ]
    close = html.Button("Close", className="action", id="close-help")
    return html.Dialog(
        [html.H2("Keys and gestures"), html.Table(html.Tbody(rows)), close], id="help"
    )


def header_buttons() -> list[Any]:
    """Units and help."""
    units = "GB" if is_decimal() else "GiB"
    title = "Powers of 1000 or of 1024 (U)"
    return [
        html.Button(units, id="units", className="action", title=title),
        html.Button("?", id="open-help", className="action", title="Keys and gestures (?)"),
    ]


def csv_button(table: str) -> Any:
    """Saves the rows of a table that are shown."""
    title = "Save the listed rows; memprof export --csv writes all"
    return html.Button("CSV", className="action", title=title, **{"data-csv": table})

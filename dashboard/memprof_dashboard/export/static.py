"""Turns the page's parts into HTML text: elements, charts, tables."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from itertools import count
from typing import Any

import dash_ag_grid as dag
from dash import dcc
from dash.development.base_component import Component
from plotly.utils import PlotlyJSONEncoder

#: Rows of a table in a file at most, the first ones.
ROWS = 200
_VOID = frozenset({"br", "hr", "wbr"})
_ATTRIBUTES = {"className": "class", "title": "title", "hidden": "hidden"}
_CAPITAL = re.compile(r"[A-Z]")


class StaticPage:
    """Renders parts and remembers their charts, which are drawn when the page is opened."""

    def __init__(self) -> None:
        self.charts: dict[str, Mapping[str, Any]] = {}
        self._numbers = count()

    def render(self, part: Any) -> str:
        """The HTML of an element and all in it; every text is escaped."""
        match part:
            case None | False:
                return ""
            case list() | tuple():
                return "".join(map(self.render, part))
            case dcc.Graph():
                return self._chart(part)
            case dag.AgGrid():
                return _table(part.rowData, part.columnDefs)
            case Component():
                return self._element(part)
            case _:
                return escape(str(part))

    def script(self) -> str:
        """Draws the charts."""
        figures = json.dumps(self.charts, cls=PlotlyJSONEncoder).replace("<", "\\u003c")
        return (
            f"const charts = {figures};\n"
            "for (const [id, figure] of Object.entries(charts))\n"
            "  Plotly.newPlot(id, figure.data, figure.layout, {responsive: true, "
            'displaylogo: false, showSendToCloud: false, plotlyServerURL: ""});'
        )

    def _chart(self, graph: Any) -> str:
        name = f"chart-{next(self._numbers)}"
        self.charts[name] = graph.figure
        return (
            f'<div id="{name}" class="dash-graph {escape(getattr(graph, "className", ""))}"></div>'
        )

    def _element(self, part: Any) -> str:
        kind = getattr(part, "id", None)
        if hasattr(part, "data-csv") or (isinstance(kind, dict) and kind.get("kind") == "jump"):
            return ""
        tag = {"button": "div"}.get(part._type.lower(), part._type.lower())
        opening = f"<{tag}{_attributes(part)}>"
        if tag in _VOID:
            return opening
        return f"{opening}{self.render(getattr(part, 'children', None))}</{tag}>"


def _attributes(part: Any) -> str:
    known = {name: getattr(part, key, None) for key, name in _ATTRIBUTES.items()}
    style = getattr(part, "style", None) or {}
    known["style"] = ";".join(f"{_dashed(key)}:{value}" for key, value in style.items()) or None
    return "".join(
        f" {name}" if value is True else f' {name}="{escape(str(value))}"'
        for name, value in known.items()
        if value not in (None, "", False)
    )


def _dashed(name: str) -> str:
    return _CAPITAL.sub(lambda letter: f"-{letter[0].lower()}", name)


def _table(rows: list[dict[str, Any]], columns: list[dict[str, Any]]) -> str:
    heads = "".join(f"<th{_side(c)}>{escape(c.get('headerName', ''))}</th>" for c in columns)
    body = "".join(
        f"<tr>{''.join(f'<td{_side(c)}>{_cell(row, c)}</td>' for c in columns)}</tr>"
        for row in rows[:ROWS]
    )
    more = f'<p class="quiet">and {len(rows) - ROWS:,} more rows</p>' if rows[ROWS:] else ""
    return f'<table class="comparison static"><tr>{heads}</tr>{body}</table>{more}'


def _side(column: Mapping[str, Any]) -> str:
    return ' class="number"' if column.get("type") == "rightAligned" else ""


def _cell(row: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    field = column["field"]
    told = {"bytes": "size", "age": "aged", "seconds": "took"}.get(field, f"{field}_told")
    value = row.get(told, row.get(field))
    return "" if value is None else escape(str(value))

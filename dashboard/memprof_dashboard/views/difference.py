"""Two runs held against each other: step by step, by category and module, and what is new."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
from dash import dcc, html

from memprof.analyze import Change, DeviceDiff, diff
from memprof.analyze.diff import ModuleChange, TensorChange
from memprof.analyze.runs import trace_names
from memprof.palette import CATEGORY_COLORS
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.state import Shown
from memprof_dashboard.theme import GRID_OPTIONS, PICTURE_CONFIG, label
from memprof_dashboard.views.aligned import aligned_figure
from memprof_dashboard.views.view import View, card, nothing

_MOST_MODULES = 14


def panel(shown: Shown, number: int) -> Any:
    """The difference of the device that a tab shows."""
    pair, name = shown.pair(number), shown.subject(number).name
    if pair is None:
        return nothing(
            "One run at a time",
            "Open two to hold them against each other: memprof view before.json after.json. "
            "Traces of one program that name different ranks are shown side by side instead.",
        )
    before, after = (shown.analyses[each] for each in pair)
    names = trace_names([each.trace for each in shown.analyses])
    told = names[pair[0]], names[pair[1]]
    found = next(each for each in diff(before, after) if each.device == name)
    devices = [each.device(name) if name in each.devices else None for each in (before, after)]
    graph = dcc.Graph(
        id="aligned",
        className="overlay",
        responsive=True,
        figure=aligned_figure(devices, told),
        config=PICTURE_CONFIG,
    )
    steps = card("Step by step", "each run's peak and what it leaves, by step", graph)
    return html.Div(
        [
            html.Div([_categories(found, told), steps], className="pair"),
            html.Div([_modules(found), _tensors(found)], className="pair wide"),
        ]
    )


def _categories(found: DeviceDiff, told: tuple[str, str]) -> Any:
    rows = [_row(html.B("peak"), found.peak), _row("held at the end", found.end)]
    for each in found.categories:
        if each.highest.before or each.highest.after:
            color = {"background": CATEGORY_COLORS[each.category]}
            name = [html.I(className="square", style=color), label(each.category)]
            rows.append(_row(name, each.highest))
    heads = ("", *told, "Growth", "")
    cells = [html.Th(text, className="number" if n else "") for n, text in enumerate(heads)]
    table = html.Table(
        [html.Thead(html.Tr(cells)), html.Tbody(rows)], className="comparison difference"
    )
    return card("What grew", "each category at its own highest", table)


def _row(name: Any, change: Change) -> Any:
    side = " over" if change.growth > 0 else " under" if change.growth < 0 else " quiet"
    growth = format_bytes(change.growth, sign=True) if change.growth else "same"
    return html.Tr(
        [
            html.Td(name),
            html.Td(format_bytes(change.before), className="number"),
            html.Td(format_bytes(change.after), className="number"),
            html.Td(growth, className=f"number{side}"),
            html.Td(_percent(change), className=f"number{side}"),
        ]
    )


def _percent(change: Change) -> str:
    if not change.growth:
        return ""
    return "new" if change.percent is None else f"{change.percent:+.1f} %"


def _modules(found: DeviceDiff) -> Any:
    rows = found.modules[:_MOST_MODULES]
    if not rows:
        return card("By module", "every module holds what it held before")
    most = max(abs(row.bytes.growth) for row in rows)
    left = len(found.modules) - len(rows)
    more = [html.P(f"and {left:,} modules that changed less", className="quiet")] if left else []
    bars = html.Div([_module(row, most) for row in rows], className="levels")
    return card("By module", "at each run's peak; alike modules are one", bars, *more)


def _module(row: ModuleChange, most: int) -> Any:
    growth = row.bytes.growth
    share = 50 * abs(growth) / most
    place = {"width": f"{share:.2f}%", "left": "50%" if growth > 0 else f"{50 - share:.2f}%"}
    side = "over" if growth > 0 else "under"
    fill = html.Span(className=f"level-fill grown-{side}", style=place)
    return html.Div(
        [
            html.Span(row.module or "no module", className="level-name", title=row.module),
            html.Span(fill, className="bar-track middle"),
            html.Span(format_bytes(growth, sign=True), className=f"bar-bytes {side}"),
        ],
        className="level",
    )


def change_kind(row: TensorChange) -> str:
    """NEW and GONE are told by whether there are such tensors, never by their bytes."""
    if not row.count.before:
        return "new"
    if not row.count.after:
        return "gone"
    return "grew" if row.bytes.growth > 0 else "shrank"


def _tensors(found: DeviceDiff) -> Any:
    rows = [_tensor(row) for row in found.tensors]
    grid = dag.AgGrid(
        id="changes",
        rowData=rows,
        columnDefs=_COLUMNS,
        defaultColDef={"sortable": True, "filter": True, "resizable": True, "cellDataType": False},
        dashGridOptions=GRID_OPTIONS,
        className="grid",
        style={"height": "100%", "width": "100%"},
    )
    new = sum(row["kind"] == "new" for row in rows)
    note = f"{len(rows):,} kinds of tensors changed between the peaks, {new:,} of them new"
    box = card("In the live set", note, html.Div(grid, className="grid-box"))
    box.className = "card steps"
    return box


def _tensor(row: TensorChange) -> dict[str, Any]:
    return {
        "kind": change_kind(row),
        "growth": row.bytes.growth,
        "growth_told": format_bytes(row.bytes.growth, sign=True),
        "before": row.bytes.before,
        "before_told": format_bytes(row.bytes.before),
        "after": row.bytes.after,
        "after_told": format_bytes(row.bytes.after),
        "counts": f"{row.count.before:,} → {row.count.after:,}",
        "key": row.category,
        "category": label(row.category),
        "what": row.name or row.op,
        "module": row.module,
        "tensor": row.tensor,
        "place": row.place.rpartition("/")[2],
    }


def _bytes(field: str, header: str, **more: Any) -> dict[str, Any]:
    shown = {"function": f"params.data.{field}_told"}
    side = {"type": "rightAligned", "valueFormatter": shown, "width": 112}
    return {"field": field, "headerName": header, **side, **more}


_SWATCH = {"function": "'swatch swatch-' + params.data.key"}
_COLUMNS: list[dict[str, Any]] = [
    {"field": "kind", "headerName": "", "width": 78, "cellClass": {"function": "params.value"}},
    _bytes("growth", "Growth"),
    {"field": "category", "headerName": "Category", "width": 134, "cellClass": _SWATCH},
    {"field": "what", "headerName": "Name", "flex": 2, "minWidth": 130, "tooltipField": "what"},
    {
        "field": "module",
        "headerName": "Module",
        "flex": 2,
        "minWidth": 120,
        "tooltipField": "module",
    },
    {"field": "counts", "headerName": "Tensors", "width": 96},
    _bytes("before", "Before"),
    _bytes("after", "After"),
    {"field": "tensor", "headerName": "Tensor", "width": 150},
    {"field": "place", "headerName": "Where", "width": 150, "tooltipField": "place"},
]


VIEW = View(
    "difference",
    "Difference",
    panel,
    offered=lambda shown, number: shown.pair(number) is not None,
)

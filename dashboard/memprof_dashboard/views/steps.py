"""The steps of the program's loop: one row each, all overlaid, and what they leave behind."""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
from dash import dcc, html

from memprof.analyze import DeviceAnalysis, Leak, StepRow
from memprof.analyze.steps import odd_steps, typical_rise
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.keys import csv_button
from memprof_dashboard.scale import format_seconds
from memprof_dashboard.state import Shown
from memprof_dashboard.theme import GRID_OPTIONS, PICTURE_CONFIG, SELECT_ROW
from memprof_dashboard.views.overlay import kept_figure, overlay_figure
from memprof_dashboard.views.view import View, card, jump, nothing


def panel(shown: Shown, number: int) -> Any:
    """Table, overlay and leaks of a subject."""
    subject = shown.subject(number)
    rows = subject.steps
    if not rows:
        return nothing(
            "No steps",
            "The trace has no turn of a loop. memprof.step() at the end of each marks them where "
            "no optimizer's step does.",
        )
    overlay = dcc.Graph(
        id="overlay",
        className="overlay",
        responsive=True,
        figure=overlay_figure(subject, rows),
        config=PICTURE_CONFIG,
    )
    table = html.Div(_grid(rows), className="grid-box")
    note = "begun at the same place; the odd ones, the highest and the first stand out"
    steps = card("Steps", _summary(rows), table)
    steps.className = "card steps"
    steps.children[0].children += [html.Span(className="spring"), csv_button("steps")]
    return html.Div(
        [
            html.Div([steps, card("All steps overlaid", note, overlay)], className="pair wide"),
            _leaks(shown, number),
        ]
    )


def step_rows(rows: list[StepRow]) -> list[dict[str, Any]]:
    """The steps as rows of a table."""
    usual, odd = typical_rise(rows), {row.step for row in odd_steps(rows)}
    return [
        {
            "step": row.step,
            "odd": row.step in odd,
            "event": row.peak_event,
            "peak": row.peak_bytes,
            "rise": row.rise,
            "apart": row.rise - usual,
            "phase": row.peak_phase,
            "end": row.end_bytes,
            "change": row.end_bytes - row.begin_bytes,
            "births": row.births,
            "seconds": row.end - row.begin,
            "took": format_seconds(row.end - row.begin),
            **{f"{key}_told": told for key, told in _told(row, usual).items()},
        }
        for row in rows
    ]


def _told(row: StepRow, usual: int) -> dict[str, str]:
    return {
        "peak": format_bytes(row.peak_bytes),
        "rise": format_bytes(row.rise),
        "apart": format_bytes(row.rise - usual, sign=True) if row.rise != usual else "as usual",
        "end": format_bytes(row.end_bytes),
        "change": format_bytes(row.end_bytes - row.begin_bytes, sign=True),
    }


def _summary(rows: list[StepRow]) -> str:
    odd = [row.step for row in odd_steps(rows)]
    if not odd:
        return f"{len(rows):,} steps, all alike" if len(rows) > 2 else f"{len(rows)} steps"
    named = ", ".join(map(str, odd[:4])) + (" …" if len(odd) > 4 else "")
    return f"{len(rows):,} steps; unlike the others: {named}"


def _grid(rows: list[StepRow]) -> dag.AgGrid:
    return dag.AgGrid(
        id="steps",
        rowData=step_rows(rows),
        columnDefs=_COLUMNS,
        defaultColDef={"sortable": True, "resizable": True, "cellDataType": False},
        dashGridOptions={
            **GRID_OPTIONS,
            "rowSelection": SELECT_ROW,
        },
        rowClassRules={"odd": "params.data.odd"},
        className="grid",
        style={"height": "100%", "width": "100%"},
    )


def _bytes(field: str, header: str, width: int, **more: Any) -> dict[str, Any]:
    shown = {"function": f"params.data.{field}_told"}
    return {
        "field": field,
        "headerName": header,
        "width": width,
        "type": "rightAligned",
        "valueFormatter": shown,
        **more,
    }


_COLUMNS: list[dict[str, Any]] = [
    {"field": "step", "headerName": "Step", "width": 64, "type": "rightAligned"},
    _bytes("peak", "Peak", 104),
    {"field": "phase", "headerName": "Peak in", "minWidth": 90, "flex": 1, "tooltipField": "phase"},
    _bytes("rise", "Above its start", 118, headerTooltip="its peak less what it began with"),
    _bytes("apart", "Unlike usual", 108, headerTooltip="its rise less the median step's"),
    _bytes("end", "Left at its end", 112),
    _bytes("change", "Kept", 100, headerTooltip="what it ended with less what it began with"),
    {"field": "births", "headerName": "Born", "width": 72, "type": "rightAligned"},
    {
        "field": "seconds",
        "headerName": "Took",
        "width": 84,
        "type": "rightAligned",
        "valueFormatter": {"function": "params.data.took"},
    },
]


def _leaks(shown: Shown, number: int) -> Any:
    found, subject = shown.leaks(number), shown.subject(number)
    if not found:
        text = _no_leaks(subject.device)
        return card("Kept from step to step", text)
    rows = [_leak(number, place, leak) for place, leak in enumerate(found[:12], 1)]
    more = [html.P(f"and {len(found) - 12} more lines", className="quiet")] if found[12:] else []
    chart = dcc.Graph(
        id="kept",
        className="kept",
        responsive=True,
        figure=kept_figure(found),
        config=PICTURE_CONFIG,
    )
    sides = {"A step": "number", "Kept at last": "number"}
    heads = ("Made at", "A step", "Kept at last", "")
    head = html.Tr([html.Th(text, className=sides.get(text, "")) for text in heads])
    table = html.Table([html.Thead(head), html.Tbody(rows)], className="comparison leaks")
    note = "lines whose tensors outlive their step, more of them after every step"
    return card(
        "Kept from step to step",
        note,
        html.Div([html.Div([table, *more]), chart], className="pair"),
    )


def _no_leaks(device: DeviceAnalysis) -> str:
    steps = len(device.levels.trace.steps)
    few = f"{steps} steps are too few to tell" if steps < 3 else "no line's tensors pile up"
    return few + ("" if steps < 3 else f" over the {steps:,} steps")


def _leak(number: int, place: int, leak: Leak) -> Any:
    grows = format_bytes(leak.bytes_per_step, sign=True)
    return html.Tr(
        [
            html.Td(html.Code(leak.place)),
            html.Td(grows, className="number over"),
            html.Td(format_bytes(leak.bytes), className="number"),
            html.Td(jump("Show its tensors", number, leak.event, f"leak:{place}")),
        ]
    )


VIEW = View("steps", "Steps", panel, lambda shown, number: len(shown.subject(number).trace.steps))

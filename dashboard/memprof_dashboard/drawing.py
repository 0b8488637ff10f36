"""How the timeline is drawn: stacked by category, or each block of its window by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash
from dash import ALL, Input, Output, Patch, State, ctx, html, no_update

from memprof_dashboard.address import read_address
from memprof_dashboard.blocks import MODES, STACK, blocks_figure, blocks_text, window_blocks
from memprof_dashboard.state import Shown
from memprof_dashboard.views.navigation import is_pressed


def mode_buttons(chosen: str) -> list[Any]:
    """A button for each way to draw."""
    return [
        html.Button(
            text,
            id={"kind": "mode", "key": mode},
            className="action",
            **{"aria-pressed": "true" if mode == chosen else "false"},
        )
        for mode, text in MODES.items()
    ]


def register(app: dash.Dash, shown: Shown) -> None:
    """Connects the buttons and the chart of blocks."""

    def draw(
        mode: str,
        window: Sequence[float] | None,
        hidden: Sequence[str],
        tab: str,
        chosen: dict[str, int],
    ) -> Any:
        stacked, buttons = mode == STACK, mode_buttons(mode)
        if stacked:
            return no_update, "", False, True, buttons
        number = shown.number(int(tab))
        chart, event = shown.timeline(number), chosen["event"]
        found = window_blocks(chart, window, hidden, mode)
        moment = shown.moment(number, event if chosen["subject"] == number else None)
        figure = blocks_figure(chart, found, window, hidden, moment)
        return figure, blocks_text(found, mode), True, False, buttons

    def mark(chosen: dict[str, int], mode: str) -> Any:
        if mode == STACK:
            return no_update
        change = Patch()
        line = change["layout"]["shapes"][0]
        line["x0"] = line["x1"] = shown.moment(chosen["subject"], chosen["event"]).seconds
        return change

    parts = [("blocks", "figure"), ("blocks-told", "children"), ("stack-box", "hidden")]
    parts += [("blocks-box", "hidden"), ("modes", "children")]
    inputs = [("mode", "data"), ("window", "data"), ("hidden", "data"), ("tab", "value")]
    app.callback(
        *(Output(*part) for part in parts),
        *(Input(*part) for part in inputs),
        State("moment", "data"),
        prevent_initial_call=True,
    )(draw)
    app.callback(
        Output("blocks", "figure", allow_duplicate=True),
        Input("moment", "data"),
        State("mode", "data"),
        prevent_initial_call=True,
    )(mark)
    app.callback(
        Output("mode", "data"),
        Input({"kind": "mode", "key": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )(_choose)
    app.callback(
        Output("mode", "data", allow_duplicate=True),
        Input("address", "search"),
        State("mode", "data"),
        prevent_initial_call="initial_duplicate",
    )(_restore)


def _choose(_clicks: Any) -> Any:
    return ctx.triggered_id["key"] if is_pressed() else no_update


def _restore(search: str, now: str) -> Any:
    wanted = read_address(search).mode
    return wanted if wanted in MODES and wanted != now else no_update

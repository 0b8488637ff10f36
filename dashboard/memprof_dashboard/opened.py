"""Which tensor is opened, and its card."""

from __future__ import annotations

from typing import Any

import dash
from dash import Input, Output, State, ctx, no_update

from memprof.analyze.life import life
from memprof_dashboard.address import read_address
from memprof_dashboard.state import Shown
from memprof_dashboard.tensor import tensor_card


def register(app: dash.Dash, shown: Shown) -> None:
    """Connects what opens and closes a tensor."""

    def show(tensor: int | None, chosen: dict[str, int]) -> Any:
        subject = shown.subject(chosen["subject"])
        found = None if tensor is None else life(subject.device, tensor)
        if found is None:
            return [], True
        return tensor_card(subject, found, shown.moment(subject.number, chosen["event"])), False

    app.callback(
        Output("tensor-card", "children"),
        Output("tensor-card", "hidden"),
        Input("tensor", "data"),
        Input("moment", "data"),
        prevent_initial_call=True,
    )(show)
    app.callback(
        Output("tensor", "data"),
        Input("tensors", "selectedRows"),
        Input("blocks", "clickData"),
        Input("tab", "value"),
        prevent_initial_call=True,
    )(_open)
    app.callback(
        Output("tensor", "data", allow_duplicate=True),
        Output("tensors", "selectedRows"),
        Input("close-tensor", "n_clicks"),
        prevent_initial_call=True,
    )(lambda clicks: (None, []) if clicks else (no_update, no_update))
    app.callback(
        Output("tensor", "data", allow_duplicate=True),
        Input("address", "search"),
        State("tensor", "data"),
        prevent_initial_call="initial_duplicate",
    )(_restore)


def _open(rows: Any, click: Any, _tab: str) -> Any:
    match ctx.triggered_id:
        case "tensors":
            return int(rows[0]["allocation"]) if rows else no_update
        case "blocks":
            clicked = (click or {}).get("points") or [{}]
            return clicked[0].get("customdata", no_update)
        case _:
            return None


def _restore(search: str, now: int | None) -> Any:
    wanted = read_address(search).tensor
    return no_update if wanted in (None, now) else wanted

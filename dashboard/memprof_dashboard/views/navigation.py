"""The row of buttons that opens a view, and what they do."""

from __future__ import annotations

from typing import Any

import dash
from dash import ALL, Input, Output, State, ctx, html, no_update

from memprof_dashboard.address import read_address
from memprof_dashboard.state import Shown
from memprof_dashboard.views.registry import KEYS, VIEWS
from memprof_dashboard.views.view import MOMENT, read_jump


def navigation(shown: Shown, number: int, chosen: str, *, counted: bool = True) -> list[Any]:
    """A button a view; `counted` with how much each has to tell."""
    buttons = [_button(MOMENT, "The moment", 0, chosen)]
    for view in (view for view in VIEWS if view.offered(shown, number)):
        count = view.things(shown, number) if counted else 0
        buttons.append(_button(view.key, view.title, count, chosen))
    return buttons


def _button(key: str, title: str, count: int, chosen: str) -> html.Button:
    told = [html.Span(f"{count:,}", className="count")] if count else []
    state = {"aria-pressed": "true" if key == chosen else "false"}
    return html.Button([title, *told], id={"kind": "view", "key": key}, className="view", **state)


def register(app: dash.Dash, shown: Shown) -> None:
    """Connects the buttons, and those in the views that lead to a moment."""

    def show(key: str, tab: str, chosen: dict[str, int]) -> Any:
        number = shown.number(int(tab))
        event = chosen["event"] if chosen["subject"] == number else None
        return navigation(shown, number, key), _panel(shown, number, key, event), key != MOMENT

    def move(chosen: dict[str, int], key: str) -> Any:
        if not any(view.key == key and view.at for view in VIEWS):
            return no_update
        return _panel(shown, chosen["subject"], key, chosen["event"])

    def choose_step(rows: Any, tab: str) -> Any:
        return (shown.number(int(tab)), rows[0]["event"], None) if rows else no_update

    clicks = Input({"kind": "view", "key": ALL}, "n_clicks")
    view, tab = Input("view", "data"), Input("tab", "value")
    parts = [("navigation", "children"), ("panel", "children"), ("moment-view", "hidden")]
    app.callback(*(Output(*part) for part in parts), view, tab, State("moment", "data"))(show)
    # Apart from each other: of two calls of one callback at once, the earlier answer is dropped.
    app.callback(
        Output("panel", "children", allow_duplicate=True),
        Input("moment", "data"),
        State("view", "data"),
        prevent_initial_call=True,
    )(move)
    app.callback(Output("view", "data"), clicks, prevent_initial_call=True)(_choose)
    app.callback(
        Output("view", "data", allow_duplicate=True),
        Input("address", "search"),
        State("view", "data"),
        prevent_initial_call="initial_duplicate",
    )(_restore)
    app.callback(
        Output("jump", "data"),
        Input({"kind": "jump", "key": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )(_press)
    app.callback(
        Output("jump", "data", allow_duplicate=True),
        Input("steps", "selectedRows"),
        State("tab", "value"),
        prevent_initial_call=True,
    )(choose_step)
    app.callback(
        Output("filter", "value", allow_duplicate=True),
        Output("view", "data", allow_duplicate=True),
        Input("jump", "data"),
        prevent_initial_call=True,
    )(_narrow)


def _panel(shown: Shown, number: int, key: str, event: int | None) -> Any:
    """What a view shows, at an event where it depends on one; None for the moment, always there."""
    view = next((view for view in VIEWS if view.key == key), None)
    if view is None:
        return None
    if view.at is not None and event is not None:
        return view.at(shown, number, event)
    return view.panel(shown, number)


def _choose(_clicks: Any) -> Any:
    return ctx.triggered_id["key"] if is_pressed() else no_update


def _restore(search: str, now: str) -> Any:
    wanted = read_address(search).view
    return wanted if wanted in KEYS and wanted != now else no_update


def _press(_clicks: Any) -> Any:
    return read_jump(ctx.triggered_id["key"]) if is_pressed() else no_update


def _narrow(jump: Any) -> Any:
    return (no_update, no_update) if jump[2] is None else (jump[2], MOMENT)


def is_pressed() -> bool:
    """Whether a button was pressed, rather than made anew."""
    return any(entry["value"] for entry in ctx.triggered)

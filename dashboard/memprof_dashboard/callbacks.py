"""Which part of the page each action listens to and changes."""

from __future__ import annotations

import dash
from dash import ALL, Input, Output, State

from memprof_dashboard import drawing, opened
from memprof_dashboard.actions import Actions
from memprof_dashboard.state import Shown
from memprof_dashboard.views import navigation, what_if

_MOMENT = State("moment", "data")
_WINDOW = State("window", "data")
_HIDDEN = State("hidden", "data")


def register(app: dash.Dash, shown: Shown) -> None:
    """Connects the page's parts."""
    actions = Actions(shown)
    _moment(app, actions)
    _timeline(app, actions)
    _filter(app, actions)
    for part in (navigation, drawing, opened, what_if):
        part.register(app, shown)
    app.callback(
        Output("address", "search"),
        Input("moment", "data"),
        Input("window", "data"),
        Input("hidden", "data"),
        Input("view", "data"),
        Input("filter", "value"),
        Input("mode", "data"),
        Input("tensor", "data"),
        prevent_initial_call=True,
    )(actions.write)


def _moment(app: dash.Dash, actions: Actions) -> None:
    app.callback(
        Output("moment", "data"),
        Output("tab", "value"),
        Input("timeline", "clickData"),
        Input("go-to-peak", "n_clicks"),
        Input("previous", "n_clicks"),
        Input("next", "n_clicks"),
        Input("previous-step", "n_clicks"),
        Input("next-step", "n_clicks"),
        Input("tab", "value"),
        Input("address", "search"),
        Input("jump", "data"),
        _MOMENT,
        _WINDOW,
    )(actions.choose)
    app.callback(
        Output("headline", "children"),
        Output("bars", "children"),
        Output("tensors", "rowData"),
        Output("count", "children"),
        Output("modules", "figure"),
        Input("moment", "data"),
        State("filter", "value"),
        prevent_initial_call=True,
    )(actions.show)
    app.callback(
        Output("timeline", "figure"),
        Input("moment", "data"),
        prevent_initial_call=True,
    )(actions.mark)


def _timeline(app: dash.Dash, actions: Actions) -> None:
    app.callback(
        Output("timeline", "figure", allow_duplicate=True),
        Output("events", "children"),
        Output("window", "data"),
        Output("whole", "disabled"),
        Input("timeline", "relayoutData"),
        Input("blocks", "relayoutData"),
        Input("whole", "n_clicks"),
        Input("moment", "data"),
        _WINDOW,
        _HIDDEN,
        prevent_initial_call=True,
    )(actions.zoom)
    app.callback(
        Output("timeline", "figure", allow_duplicate=True),
        Output("events", "children", allow_duplicate=True),
        Output("window", "data", allow_duplicate=True),
        Output("whole", "disabled", allow_duplicate=True),
        Output("hidden", "data", allow_duplicate=True),
        Output("legend", "children", allow_duplicate=True),
        Output("filter", "value", allow_duplicate=True),
        Input("address", "search"),
        _MOMENT,
        _WINDOW,
        _HIDDEN,
        State("filter", "value"),
        prevent_initial_call="initial_duplicate",
    )(actions.restore)
    app.callback(
        Output("hidden", "data"),
        Output("timeline", "figure", allow_duplicate=True),
        Output("legend", "children"),
        Output("events", "children", allow_duplicate=True),
        Input({"kind": "layer", "key": ALL}, "n_clicks"),
        Input("alone", "data"),
        _MOMENT,
        _WINDOW,
        _HIDDEN,
        prevent_initial_call=True,
    )(actions.switch)
    app.callback(
        Output("timeline", "figure", allow_duplicate=True),
        Output("legend", "children", allow_duplicate=True),
        Output("hidden", "data", allow_duplicate=True),
        Output("events", "children", allow_duplicate=True),
        Output("about", "children"),
        Output("window", "data", allow_duplicate=True),
        Output("whole", "disabled", allow_duplicate=True),
        Input("tab", "value"),
        State("address", "search"),
        _MOMENT,
        prevent_initial_call=True,
    )(actions.change_tab)


def _filter(app: dash.Dash, actions: Actions) -> None:
    app.callback(
        Output("tensors", "rowData", allow_duplicate=True),
        Output("count", "children", allow_duplicate=True),
        Input("filter", "value"),
        _MOMENT,
        prevent_initial_call=True,
    )(actions.search)
    app.callback(
        Output("filter", "value"),
        Input({"kind": "bar", "category": ALL}, "n_clicks"),
        Input("modules", "clickData"),
        prevent_initial_call=True,
    )(actions.narrow)

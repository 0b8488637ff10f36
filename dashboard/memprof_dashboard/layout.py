"""The page: what stands where before anything was clicked."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from memprof.analyze import Moment
from memprof_dashboard.blocks import NOTE, STACK
from memprof_dashboard.drawing import mode_buttons
from memprof_dashboard.following import ticker
from memprof_dashboard.keys import csv_button, header_buttons, help_dialog
from memprof_dashboard.legend import events_text, legend
from memprof_dashboard.levels import level_bars
from memprof_dashboard.modules import module_map
from memprof_dashboard.moments import category_bars, headline
from memprof_dashboard.notices import about, notices
from memprof_dashboard.state import Shown
from memprof_dashboard.subjects import Subject
from memprof_dashboard.tensors import count_text, tensor_grid, tensor_rows
from memprof_dashboard.theme import GRAPH_CONFIG, PICTURE_CONFIG
from memprof_dashboard.views.navigation import navigation
from memprof_dashboard.views.view import MOMENT

_TIMELINE_CONFIG = {
    **GRAPH_CONFIG,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "doubleClick": "reset",
}


def page(shown: Shown) -> Any:
    """The whole page, at the peak of the first subject."""
    known = about(shown.analyses[0].trace) if shown.analyses else []
    told = html.Div(known, id="about", className="about")
    spring = html.Span(className="spring")
    header = html.Header([html.H1("memprof"), told, spring, *header_buttons(), help_dialog()])
    body = _body(shown) if shown.subjects else [_nothing(shown)]
    told = html.Div(notices(shown), id="notices", className="notices")
    return html.Div([header, told, html.Main(body), *ticker(shown)], className="page")


def _body(shown: Shown) -> list[Any]:
    subject, peak = shown.subjects[0], shown.subjects[0].peak
    return [
        dcc.Location(id="address", refresh=False),
        dcc.Store(id="moment", data={"subject": 0, "event": peak.event}),
        dcc.Store(id="window"),
        dcc.Store(id="hidden", data=list(shown.timeline(0).hidden_at_first)),
        dcc.Store(id="view", data=MOMENT),
        dcc.Store(id="jump"),
        dcc.Store(id="mode", data=STACK),
        dcc.Store(id="tensor"),
        dcc.Store(id="alone"),
        _tabs(shown),
        _timeline_card(shown),
        html.Section(id="tensor-card", className="card tensor", hidden=True),
        html.Nav(navigation(shown, 0, MOMENT, counted=False), id="navigation"),
        html.Div(
            [_moment_card(subject, peak), _tensors_card(peak)], className="moment", id="moment-view"
        ),
        html.Div(id="panel"),
    ]


def _tabs(shown: Shown) -> Any:
    tabs = [
        dcc.Tab(
            label=subject.label,
            value=str(number),
            className="tab",
            selected_className="tab selected",
        )
        for number, subject in enumerate(shown.subjects)
    ]
    hidden = {"display": "none"} if len(tabs) == 1 else {}
    return html.Div(dcc.Tabs(tabs, id="tab", value="0"), className="tabs", style=hidden)


def _timeline_card(shown: Shown) -> Any:
    chart, subject = shown.timeline(0), shown.subjects[0]
    hidden = chart.hidden_at_first
    timeline = chart.sample(*subject.window_ns, hidden)
    graph = dcc.Graph(
        id="timeline",
        className="timeline",
        responsive=True,
        figure=chart.figure(timeline, subject.peak, hidden),
        config=_TIMELINE_CONFIG,
    )
    legend_row = html.Div(legend(chart, hidden), id="legend", className="legend")
    blocks = dcc.Graph(id="blocks", className="timeline", responsive=True, config=_TIMELINE_CONFIG)
    boxes = [
        html.Div(graph, id="stack-box"),
        html.Div([blocks, html.P(NOTE, className="quiet hint")], id="blocks-box", hidden=True),
    ]
    return html.Section(
        [_timeline_head(events_text(timeline)), legend_row, *boxes], className="card"
    )


def _timeline_head(drawn: str) -> Any:
    steps = [
        html.Button(sign, id=name, title=title, className="action step")
        for sign, name, title in (
            ("«", "previous-step", "Previous step ([)"),
            ("‹", "previous", "Previous event (←)"),
            ("›", "next", "Next event (→)"),
            ("»", "next-step", "Next step (])"),
        )
    ]
    return html.Div(
        [
            html.H2("Memory over time"),
            html.Span(drawn, id="events", className="quiet"),
            html.Span(id="blocks-told", className="quiet"),
            html.Span(className="spring"),
            html.Div(mode_buttons(STACK), id="modes", className="group"),
            html.Button("Whole trace", id="whole", className="action", title="W", disabled=True),
            html.Div(steps, className="group"),
            html.Button("Go to peak", id="go-to-peak", className="action", title="P"),
        ],
        className="card-head",
    )


def _moment_card(subject: Subject, moment: Moment) -> Any:
    graph = dcc.Graph(
        id="modules",
        className="modules",
        responsive=True,
        figure=module_map(subject.device, moment),
        config=PICTURE_CONFIG,
    )
    words = html.Div(headline(subject, moment), id="headline", className="headline")
    bars = html.Div([*category_bars(subject, moment), *level_bars(subject, moment)], id="bars")
    return html.Section(
        [html.Div([words, bars]), html.Div([html.H3("By module"), graph])], className="card now"
    )


def _tensors_card(moment: Moment) -> Any:
    live = moment.live()
    words = dcc.Input(
        id="filter",
        type="search",
        placeholder="Filter: name, module, op, shape …",
        debounce=0.25,
        autoComplete="off",
    )
    head = [
        html.H2("Live tensors"),
        html.Span(count_text(live, moment), id="count", className="quiet"),
        html.Span(className="spring"),
        html.Div(words, className="filter"),
        csv_button("tensors"),
    ]
    grid = html.Div(tensor_grid(tensor_rows(live)), className="grid-box")
    return html.Section([html.Div(head, className="card-head"), grid], className="card tensors")


def _nothing(shown: Shown) -> Any:
    if shown.followed:
        text = "No tensor has been made yet. The page begins by itself when there is one."
        return html.Section([html.H2("Waiting"), html.P(text)], className="card empty")
    return html.Section(
        [
            html.H2("Nothing was allocated"),
            html.P("No tensor was made or freed while this trace was recorded."),
        ],
        className="card empty",
    )

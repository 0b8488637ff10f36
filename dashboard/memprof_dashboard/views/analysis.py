"""Measured against estimated: each category, the three candidate peaks, the formulas at work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dash import dcc, html

from memprof.analyze.curves import CandidatePeak, cache_points, candidate_peaks, layer_bytes
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.comparison import comparison_table
from memprof_dashboard.state import Shown
from memprof_dashboard.subjects import Subject
from memprof_dashboard.theme import PICTURE_CONFIG
from memprof_dashboard.views.curve_figures import cache_figure, layers_figure
from memprof_dashboard.views.view import View, card, jump

_NAMES = {"loss": "in the loss", "backward": "in the blocks' backward"}
_NAMES |= {"optimizer": "in the optimizer's step"}


def panel(shown: Shown, number: int) -> Any:
    """The comparison of a subject with what analysis expects of it."""
    subject = shown.subject(number)
    table = html.Section(comparison_table(subject), className="card", id="comparison")
    return html.Div([table, html.Div(list(_more(subject)), className="pair")])


def _more(subject: Subject) -> Iterator[Any]:
    peaks = candidate_peaks(subject.analysis, subject.device)
    if peaks:
        yield card("What can be the highest", "of the highest step", _candidates(subject, peaks))
    layers = layer_bytes(subject.analysis, subject.device)
    if layers.measured:
        each = layers.expected
        note = f"analytic {format_bytes(each)} a layer" if each is not None else "no formula"
        yield card("Activations over the layers", note, _graph("layers", layers_figure(layers)))
    points, slope = cache_points(subject.analysis, subject.device)
    if points:
        note = f"analytic {format_bytes(slope)} a token of one sequence" if slope else "no formula"
        yield card("KV cache against tokens", note, _graph("cache", cache_figure(points)))


def _graph(name: str, figure: dict[str, Any]) -> Any:
    return dcc.Graph(
        id=name, className="kept", responsive=True, figure=figure, config=PICTURE_CONFIG
    )


def _candidates(subject: Subject, peaks: list[CandidatePeak]) -> Any:
    heads = ("", "Measured", "Estimated", "Error", "")
    cells = [html.Th(text, className="number" if 0 < n < 4 else "") for n, text in enumerate(heads)]
    rows = [_candidate(subject, peak) for peak in peaks if peak.measured is not None]
    return html.Table(
        [html.Thead(html.Tr(cells)), html.Tbody(rows)], className="comparison candidates"
    )


def _candidate(subject: Subject, peak: CandidatePeak) -> Any:
    measured, expected = peak.measured or 0, peak.expected
    error = None if expected is None else measured - expected
    side = "" if not error else " over" if error > 0 else " under"
    highest = peak.event == subject.peak.event
    return html.Tr(
        [
            html.Td([_NAMES[peak.name], html.B(" – the peak") if highest else None]),
            html.Td(format_bytes(measured), className="number"),
            html.Td("–" if expected is None else format_bytes(expected), className="number"),
            html.Td(
                "–" if error is None else format_bytes(error, sign=True), className=f"number{side}"
            ),
            html.Td(jump("Show", subject.number, peak.event)),
        ]
    )


VIEW = View("analysis", "Against analysis", panel)

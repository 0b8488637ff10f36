"""One self-contained page of a trace: timeline, peak, findings, steps, comparison, tables."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from dash import dcc, html
from plotly.offline import get_plotlyjs

from memprof.analyze import Analysis, Moment
from memprof.palette import CATEGORY_COLORS
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.export.static import ROWS, StaticPage
from memprof_dashboard.legend import events_text
from memprof_dashboard.levels import level_bars
from memprof_dashboard.modules import module_map
from memprof_dashboard.moments import category_bars, headline
from memprof_dashboard.notices import about, notices
from memprof_dashboard.state import Shown
from memprof_dashboard.subjects import Subject
from memprof_dashboard.tensors import tensor_grid, tensor_rows
from memprof_dashboard.theme import label
from memprof_dashboard.views.registry import VIEWS
from memprof_dashboard.views.view import card

_STYLES = Path(__file__).parent.parent / "assets" / "memprof.css"
#: Nothing may be fetched, from wherever the file is opened.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)


def write_html(analyses: Sequence[Analysis], path: Path) -> None:
    """Writes a page that shows what the dashboard shows, at the peak and without zooming.

    Args:
        analyses: the traces, at least one.
        path: the file; one of that name is overwritten.
    """
    path.write_text(static_page(analyses), encoding="utf-8")


def static_page(analyses: Sequence[Analysis]) -> str:
    """The page's text, with the chart library in it once."""
    shown, page = Shown(analyses), StaticPage()
    told = html.Div(about(shown.analyses[0].trace), className="about")
    head = html.Header([html.H1("memprof"), told])
    body = page.render([head, notices(shown), _subjects(shown)])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(shown.title)} · memprof</title>\n"
        f"<style>{_STYLES.read_text('utf-8')}</style>\n"
        f"<script>{get_plotlyjs()}</script></head>\n"
        f'<body><div class="page">{body}</div>\n<script>{page.script()}</script></body></html>\n'
    )


def _subjects(shown: Shown) -> Any:
    if not shown.subjects:
        return card("Nothing was allocated", "no tensor was made or freed in this trace")
    return [_subject(shown, subject) for subject in shown.subjects]


def _subject(shown: Shown, subject: Subject) -> Any:
    number = subject.number
    offered = [view for view in VIEWS if view.in_files and view.offered(shown, number)]
    title = [html.H2(subject.label, className="device")] if len(shown.subjects) > 1 else []
    return html.Main(
        [
            *title,
            _timeline(shown, number),
            _peak(subject, subject.peak),
            *(view.panel(shown, number) for view in offered),
            _tensors(subject.peak),
        ]
    )


def _timeline(shown: Shown, number: int) -> Any:
    chart, subject = shown.timeline(number), shown.subject(number)
    hidden = chart.hidden_at_first
    drawn = chart.sample(*subject.window_ns, hidden)
    figure = chart.figure(drawn, subject.peak, hidden)
    legend = [
        html.Span(
            [html.I(style={"background": CATEGORY_COLORS[name]}), label(name)], className="chip"
        )
        for name in reversed(chart.categories)
    ]
    note = f"{events_text(drawn)}; memprof view zooms to every one of them"
    graph = dcc.Graph(figure=figure, className="timeline")
    return card("Memory over time", note, html.Div(legend, className="legend"), graph)


def _peak(subject: Subject, peak: Moment) -> Any:
    words = [
        html.Div(headline(subject, peak), className="headline"),
        *category_bars(subject, peak),
        *level_bars(subject, peak),
    ]
    graph = dcc.Graph(figure=module_map(subject.device, peak), className="modules")
    both = [html.Div(words), html.Div([html.H3("By module"), graph])]
    return html.Section(html.Div(both, className="pair"), className="card")


def _tensors(peak: Moment) -> Any:
    live = peak.live()
    note = f"{len(live):,} tensors, {format_bytes(peak.requested_bytes)}"
    note += f"; the largest {ROWS} are listed" if len(live) > ROWS else ""
    return card("Live tensors at the peak", note, tensor_grid(tensor_rows(live)))

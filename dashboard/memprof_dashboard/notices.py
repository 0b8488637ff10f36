"""What a reader must know before believing the figures: cut short, warned about, recorded how."""

from __future__ import annotations

from typing import Any

from dash import html

from memprof.analyze.phases import end_ns
from memprof.analyze.runs import trace_names
from memprof.trace import Trace
from memprof.trace.document import Remark
from memprof_dashboard.scale import format_seconds
from memprof_dashboard.state import Shown

_UNFOLDED = 2
_LIVE = html.Div(
    [html.B("Still running: "), "the page grows as the trace does."], className="notice live"
)


def about(trace: Trace) -> list[Any]:
    """The program and how it was recorded, in a line."""
    header = trace.header
    program = " ".join(str(word) for word in header.get("program") or []) or trace.source
    length = format_seconds((end_ns(trace) - trace.begin_ns) / 1e9)
    events = "1 event" if len(trace.events) == 1 else f"{len(trace.events):,} events"
    facts = [events, length]
    facts += [f"torch {header['torch']}"] if header.get("torch") else []
    facts += [f"{header['recorder']} recorder"] if header.get("recorder") else []
    return [html.Code(program, title=program), *(html.Span(fact) for fact in facts)]


def notices(shown: Shown) -> list[Any]:
    """A banner for each trace that ends early, and the recorder's warnings, folded if many."""
    traces = [analysis.trace for analysis in shown.analyses]
    names = [f"{name}: " if len(traces) > 1 else "" for name in trace_names(traces)]
    told = list(zip(names, traces, strict=True))
    cut = [_cut_short(name, trace) for name, trace in told if not trace.complete]
    cut = [_LIVE] if shown.followed else cut
    warned = [_warning(name, remark) for name, trace in told for remark in trace.warnings]
    if len(warned) > _UNFOLDED:
        warned = [html.Details([html.Summary(f"{len(warned)} warnings"), *warned])]
    return [*cut, *warned]


def _warning(name: str, remark: Remark) -> Any:
    text = remark.text + (f" ({remark.count:,} times)" if remark.count > 1 else "")
    return html.Div([html.B(f"{name}{remark.code}: "), text], className="notice warning")


def _cut_short(name: str, trace: Trace) -> Any:
    last = format_seconds((end_ns(trace) - trace.begin_ns) / 1e9)
    text = f"the program ended before the trace was closed. What is shown stops after {last}."
    return html.Div(
        [html.B(f"{name}{'this' if name else 'This'} trace ends early: "), text],
        className="notice cut",
    )

"""One tensor opened: its whole life, why it is what it is, and the Python stack that made it."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from memprof.analyze import Moment
from memprof.analyze.life import Life
from memprof.palette import CATEGORY_COLORS
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.scale import format_clock, format_seconds, typed_array
from memprof_dashboard.subjects import Subject
from memprof_dashboard.theme import HOVER_FORMAT, MUTED, PICTURE_CONFIG, base_layout, label
from memprof_dashboard.timeline_parts import selection_line

_MARGIN = 0.15  # of its life, shown to either side
_ORIGINS = {
    "before": "was there when the trace began",
    "found": "its birth was not seen; it was first met alive",
    "compiled": "returned by a compiled graph",
    "resized": "the storage of an earlier one with a new size",
}


def tensor_card(subject: Subject, life: Life, moment: Moment) -> list[Any]:
    """What is known of one tensor."""
    tensor = life.tensor
    color = {"background": CATEGORY_COLORS[tensor.category]}
    name = tensor.name or tensor.op or "a tensor without a name"
    head = [
        html.H2([html.I(className="square", style=color), name], title=name),
        html.Span(f"{format_bytes(tensor.bytes)} {tensor.tensor}", className="quiet"),
        html.Span(className="spring"),
        html.Button(
            "Go to its birth",
            id={"kind": "jump", "key": _key(subject, life.born)},
            className="action",
        ),
        html.Button("Close", id="close-tensor", className="action", title="Close (Esc)"),
    ]
    graph = dcc.Graph(
        id="life",
        className="life",
        responsive=True,
        figure=life_figure(subject, life, moment),
        config=PICTURE_CONFIG,
    )
    facts = html.Dl([part for term, text in _facts(life) for part in _fact(term, text)])
    return [
        html.Div(head, className="card-head"),
        html.Div([facts, html.Div([graph]), _stack(life)], className="tensor-parts"),
    ]


def _key(subject: Subject, moment: Moment) -> str:
    return f"{subject.number}|{moment.event}|"


def _facts(life: Life) -> list[tuple[str, str]]:
    tensor, seen = life.tensor, dict.fromkeys(kind for _, kind in life.seen)
    facts = [
        ("Category", f"{label(tensor.category)}: {life.reason}"),
        ("Size", f"{tensor.bytes:,} B" + (f", {tensor.tensor}" if tensor.tensor else "")),
        ("Module", tensor.module),
        ("Made by", tensor.op),
        ("Born", _when(life.born)),
        ("Freed", _when(life.freed) if life.freed else "never, as far as the trace goes"),
        ("Lived", format_seconds(tensor.age_seconds)),
        ("Seen as", ", ".join(kind.replace("_", " ") for kind in seen)),
        ("Reachable", "" if life.covered is None else f"{format_bytes(life.covered)} of it"),
        ("Known", _ORIGINS.get(life.origin, "")),
    ]
    return [(term, text) for term, text in facts if text]


def _fact(term: str, text: str) -> list[Any]:
    return [html.Dt(term), html.Dd(text)]


def _when(moment: Moment) -> str:
    step = "" if moment.step is None else f", step {moment.step}"
    return f"{format_clock(moment.seconds)}{step}" + (f", {moment.phase}" if moment.phase else "")


def _stack(life: Life) -> Any:
    if not life.tensor.stack:
        text = "No Python stack was noted: those of small tensors are left out (stack_bytes)."
        return html.P(text, className="quiet")
    frames = [html.Li(html.Code(frame)) for frame in life.tensor.stack]
    return html.Div([html.H3("Made here, innermost first"), html.Ol(frames)], className="stack")


def life_figure(subject: Subject, life: Life, moment: Moment) -> dict[str, Any]:
    """The device's level around its life, that part of it shaded, the chosen moment marked."""
    begin, end = life.born.seconds, life.end_seconds
    margin = max(1e-9, _MARGIN * (end - begin))
    zero, scale = subject.trace.begin_ns, subject.scale
    span = [zero + round(at * 1e9) for at in (begin - margin, end + margin)]
    line = subject.device.downsample(span[0], max(span[0] + 1, span[1]), 250)
    told = f"%{{y:{HOVER_FORMAT}}} {scale.unit}"
    color = CATEGORY_COLORS[life.tensor.category]
    own = life.tensor.bytes / scale.factor
    style = {"type": "scatter", "mode": "lines", "hovertemplate": told}
    data = [
        {
            **style,
            "name": "all",
            "x": typed_array(line.seconds),
            "y": scale.typed(line.total),
            "line": {"shape": "hv", "width": 1, "color": MUTED},
        },
        {
            **style,
            "name": "this one",
            "x": [begin - margin, begin, end, end + margin],
            "y": [0, own, 0, 0],
            "fill": "tozeroy",
            "fillcolor": color,
            "line": {"shape": "hv", "width": 0},
        },
    ]
    shade = {
        **{"type": "rect", "xref": "x", "yref": "paper", "x0": begin, "x1": end, "y0": 0, "y1": 1},
        **{"fillcolor": color, "opacity": 0.16, "line": {"width": 0}, "layer": "below"},
    }
    layout = base_layout(
        margin={"l": 64, "r": 8, "t": 6, "b": 26},
        hovermode="x unified",
        showlegend=False,
        shapes=[shade, selection_line(moment)],
        xaxis={
            "ticksuffix": "s",
            "exponentformat": "SI",
            "minexponent": 2,
            "zeroline": False,
            "showgrid": False,
            "nticks": 6,
            "hoverformat": ".6~s",
            "range": [begin - margin, end + margin],
        },
        yaxis={
            "ticksuffix": f" {scale.unit}",
            "zeroline": False,
            "rangemode": "tozero",
            "gridcolor": "#d9dee3",
            "nticks": 5,
        },
    )
    return {"data": data, "layout": layout}

"""What a run would need: sliders on the estimator, answered for every machine of its catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash
from dash import ALL, Input, Output, State, ctx, dcc, html

from memprof.estimate.catalog.models import model_names
from memprof_dashboard.state import Shown
from memprof_dashboard.views.view import View, card
from memprof_dashboard.views.what_if_answer import answer

#: The model of the trace itself, where it has one.
THIS = "this run's model"
_POWERS = {
    "batch": ("Batch, of one replica", 14),
    "seq": ("Tokens of a sequence", 20),
    "tp": ("Tensor parallel", 5),
    "pp": ("Pipeline stages", 5),
    "dp": ("Replicas", 10),
}
_CHOICES = {
    "mode": ("Mode", ("train", "prefill", "decode")),
    "dtype": ("Weights", ("bfloat16", "float16", "float32", "int8", "int4")),
    "optimizer": ("Optimizer", ("AdamW", "Adam", "SGD", "Adafactor")),
    "checkpointing": ("Checkpointing", ("none", "selective", "full")),
    "zero": ("ZeRO stage", ("0", "1", "2", "3")),
}
_AT_FIRST = {"mode": "train", "dtype": "bfloat16", "optimizer": "AdamW"}
_AT_FIRST |= {"checkpointing": "none", "zero": "0"}


def models(shown: Shown, number: int) -> list[str]:
    """Names of what can be asked about: the trace's own model first."""
    own = [THIS] if shown.subject(number).trace.facts_of("model") else []
    return [*own, *model_names()]


def panel(shown: Shown, number: int) -> Any:
    """Controls and, beside them, what they come to."""
    names = models(shown, number)
    first = {"model": names[0], **_AT_FIRST, **_sizes(shown, number)}
    controls = [_dropdown("model", "Model", tuple(names), first)]
    controls += [_dropdown(key, *about, first) for key, about in _CHOICES.items()]
    sliders = [_slider(key, *about, first) for key, about in _POWERS.items()]
    note = "estimated from shapes alone, nothing is run"
    box = card("What if", note, html.Div(controls, className="choices"), *sliders)
    found = answer(shown.subject(number).trace, first)
    return html.Div([box, html.Div(found, id="answer")], className="pair what-if")


def register(app: dash.Dash, shown: Shown) -> None:
    """Connects the controls."""

    def redraw(_values: Any, tab: str) -> Any:
        told = {entry["id"]["key"]: entry.get("value") for entry in ctx.inputs_list[0]}
        number = shown.number(int(tab))
        return answer(shown.subject(number).trace, read_controls(told, models(shown, number)))

    app.callback(
        Output("answer", "children"),
        Input({"kind": "what-if", "key": ALL}, "value"),
        State("tab", "value"),
        prevent_initial_call=True,
    )(redraw)


def read_controls(told: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """What the controls say, within their bounds: a name is never a path, a size never absurd."""
    read: dict[str, Any] = {"model": told["model"] if told.get("model") in names else names[0]}
    for key, (_, choices) in _CHOICES.items():
        read[key] = told[key] if told.get(key) in choices else _AT_FIRST[key]
    for key, (_, most) in _POWERS.items():
        power = told.get(key)
        read[key] = min(most, max(0, int(power))) if isinstance(power, int | float) else 0
    return read


def _sizes(shown: Shown, number: int) -> dict[str, int]:
    """Batch and tokens of the trace's largest call, as the nearest powers of two."""
    phases = shown.subject(number).trace.phases
    batch, tokens = int(phases.batch.max(initial=1)), int(phases.tokens.max(initial=0))
    found = {"batch": max(1, batch), "seq": tokens if tokens > 0 else 2048}
    found |= {"tp": 1, "pp": 1, "dp": 1}
    return {key: min(_POWERS[key][1], (size - 1).bit_length()) for key, size in found.items()}


def _dropdown(key: str, title: str, choices: tuple[str, ...], first: Mapping[str, Any]) -> Any:
    field = dcc.Dropdown(
        list(choices),
        first[key],
        id={"kind": "what-if", "key": key},
        clearable=False,
        searchable=len(choices) > 9,
    )
    return html.Div([html.Span(title, className="quiet"), field], className=f"choice {key}")


def _slider(key: str, title: str, most: int, first: Mapping[str, Any]) -> Any:
    every = 1 if most <= 10 else 2 if most <= 14 else 4
    marks = {power: _power(power) for power in range(0, most + 1, every)}
    field = dcc.Slider(
        0,
        most,
        1,
        value=first[key],
        marks=marks,
        id={"kind": "what-if", "key": key},
        updatemode="drag",
        allow_direct_input=False,
    )
    return html.Div([html.Span(title, className="quiet"), field], className="slide")


def _power(power: int) -> str:
    size = 1 << power
    return f"{size >> 20}M" if power >= 20 else f"{size >> 10}k" if power >= 10 else str(size)


VIEW = View("what-if", "What if", panel, in_files=False)

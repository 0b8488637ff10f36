"""What the estimator says of one setting: the peak, its parts, and where it fits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dash import html

from memprof.errors import MemprofError
from memprof.estimate import Parallelism, RunSpec
from memprof.estimate.catalog.models import model_names
from memprof.estimate.estimate import RunEstimate, estimate
from memprof.estimate.hardware import hardware
from memprof.estimate.quantized import split_dtype
from memprof.estimate.roofline import Roofline
from memprof.palette import CATEGORY_COLORS
from memprof.trace import Trace
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.theme import STACK, label
from memprof_dashboard.views.view import card, nothing


def answer(trace: Trace, told: Mapping[str, Any]) -> list[Any]:
    """The estimate of a setting; a sentence where the formulas cannot say."""
    own = trace.facts_of("model")
    names_own = own and told["model"] not in model_names()
    try:
        found = estimate(own[-1] if names_own else told["model"], run_spec(told))
    except MemprofError as error:
        return [nothing("This cannot be", str(error))]
    return [_peak(found), _machines(found)]


def run_spec(told: Mapping[str, Any]) -> RunSpec:
    """The run that the controls describe; sizes are powers of two."""
    dtype, quantized = split_dtype(told["dtype"])
    tokens, decodes, trains = 1 << told["seq"], told["mode"] == "decode", told["mode"] == "train"
    return RunSpec(
        mode=told["mode"],
        batch=1 << told["batch"],
        tokens=1 if decodes else tokens,
        context=tokens - 1 if decodes else 0,
        dtype=dtype,
        quantization=quantized,
        optimizer=told["optimizer"] if trains else "",
        checkpointing=told["checkpointing"] if trains else "none",
        device="cuda",
        parallel=Parallelism(
            dp=1 << told["dp"],
            zero=int(told["zero"]) if trains else 0,
            tp=1 << told["tp"],
            pp=1 << told["pp"],
        ),
    )


def _peak(found: RunEstimate) -> Any:
    device = found.fullest
    known, whole = device.known_bytes, found.peak_bytes is not None
    highest = device.highest
    parts = [
        (name, part.bytes)
        for name in STACK
        if (part := highest.by_category.get(name)) is not None and part.bytes
    ]
    most = max([nbytes for _, nbytes in parts if nbytes], default=1)
    bars = [_bar(name, nbytes or 0, most) for name, nbytes in reversed(parts)]
    amount = html.Span(f"{'' if whole else 'at least '}{format_bytes(known)}", className="amount")
    devices = found.run.parallel.devices
    where = f"on {device.name}" if devices > 1 else ""
    head = html.Div(
        [
            amount,
            html.Span("the peak", className="badge peak"),
            html.Span(f"{_moment(highest.name)} {where}".strip(), className="where"),
        ],
        className="headline",
    )
    size = f"{found.parameters:,} parameters" if found.parameters else ""
    return card("It would need", size, head, *bars, _peaks(found), *_open(found))


def _moment(name: str) -> str:
    return {"loss": "in the loss", "optimizer": "in the optimizer's step"}.get(name, f"in {name}")


def _bar(name: str, nbytes: int, most: int) -> Any:
    fill = {"width": f"{100 * nbytes / most:.2f}%", "background": CATEGORY_COLORS[name]}
    return html.Div(
        [
            html.Span(label(name)),
            html.Span(html.Span(className="bar-fill", style=fill), className="bar-track"),
            html.Span(format_bytes(nbytes), className="bar-bytes"),
            html.Span(),
        ],
        className="bar still",
    )


def _peaks(found: RunEstimate) -> Any:
    if len(found.peaks) < 2:
        return None
    told = " · ".join(
        f"{_moment(name)} {format_bytes(peak.known_bytes)}" for name, peak in found.peaks.items()
    )
    return html.P(f"What can be the highest: {told}.", className="quiet note")


def _open(found: RunEstimate) -> Iterator[Any]:
    if found.kv_cache_bytes_per_token:
        told = format_bytes(found.kv_cache_bytes_per_token)
        yield html.P(f"A token of one sequence takes {told} of KV cache.", className="quiet note")
    if found.assumptions:
        lines = html.Ul([html.Li(text) for text in found.assumptions])
        yield html.Details(
            [html.Summary(f"{len(found.assumptions)} assumptions"), lines], className="plain"
        )


def _machines(found: RunEstimate) -> Any:
    rows = [_machine(found, key, verdict) for key, verdict in found.fits.items()]
    note = "the CUDA context, libraries and what the allocator leaves unused come on top"
    speed = html.P(
        "Tokens a second are the roofline's bound: the longer of moving all bytes and doing all "
        "operations once. A trace notes no time of an operation; torch.profiler with "
        "with_flops=True measures beside it how near a run comes.",
        className="quiet note",
    )
    return card("Where it fits", note, html.Div(rows, className="levels"), speed)


def _speed(line: Roofline | None) -> tuple[str, str]:
    """The bound of a machine in words, and how it comes about."""
    if line is None:
        return "", ""
    told = (
        f"{line.intensity:,.0f} FLOP per byte, the ridge at {line.ridge:,.0f}: {line.bound} decides"
    )
    return f"≤ {_short(line.tokens_per_second)} tokens/s", told


def _short(number: float) -> str:
    factor, letter = next(
        (pair for pair in ((1e6, " M"), (1e3, " k")) if number >= pair[0]), (1, "")
    )
    return f"{number / factor:.3g}{letter}"


def _machine(found: RunEstimate, key: str, verdict: bool | None) -> Any:
    machine = hardware(key)
    share = min(1.0, found.fullest.known_bytes / machine.holds)
    word, kind = {
        True: ("fits", "yes"),
        False: ("does not fit", "no"),
        None: ("may fit: not all is known", "open"),
    }[verdict]
    speed, told = _speed(found.rooflines.get(key))
    fill = html.Span(className=f"level-fill verdict-{kind}", style={"width": f"{100 * share:.1f}%"})
    return html.Div(
        [
            html.Span(machine.name, className="level-name", title=machine.name),
            html.Span(fill, className="bar-track"),
            html.Span(format_bytes(machine.holds), className="bar-bytes"),
            html.Span(word, className=f"verdict {kind}"),
            html.Span(speed, className="quiet speed", title=told),
        ],
        className="level machine",
    )

"""The caching allocator: segments, blocks and holes at the moment, and fragmentation over time."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from memprof.analyze.samples import series
from memprof.predict.replay.at_moment import AllocatorMoment, allocator_at
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.state import Shown
from memprof_dashboard.subjects import Subject
from memprof_dashboard.theme import PICTURE_CONFIG
from memprof_dashboard.views.segments import levels_figure, segments_figure
from memprof_dashboard.views.view import View, card, nothing

#: Requests that are played while somebody waits, at most.
MOST_EVENTS = 300_000


def panel(shown: Shown, number: int) -> Any:
    """The allocator at the peak."""
    return panel_at(shown, number, shown.subject(number).peak.event)


def panel_at(shown: Shown, number: int, event: int) -> Any:
    """The allocator right after an event."""
    subject = shown.subject(number)
    if len(subject.device.events) > MOST_EVENTS:
        return nothing(
            "Too long to be laid out here",
            f"The allocator is modelled request by request, and of more than {MOST_EVENTS:,} that "
            f"takes too long to wait for: memprof replay {subject.trace.source}",
        )
    found = allocator_at(subject.trace, subject.name, event)
    moment = shown.moment(number, event)
    if not found.segments:
        return nothing("No segment yet", "Nothing had been asked of the device at this moment.")
    return html.Div(
        [
            card(
                "Segments, blocks and holes",
                _summary(found),
                html.P(_origin(subject, found, moment.time_ns), className="quiet"),
                _graph("segments", segments_figure(subject, found)),
            ),
            card(
                "Fragmentation over time",
                "up to the moment; fragmented is free and smaller than the largest block in use",
                _graph("fragmentation", levels_figure(subject, found)),
            ),
        ]
    )


def _graph(name: str, figure: dict[str, Any]) -> Any:
    height = figure["layout"].get("height", 260)
    return dcc.Graph(
        id=name,
        className=name,
        responsive=True,
        figure=figure,
        config=PICTURE_CONFIG,
        style={"height": f"{height}px"},
    )


def _summary(found: AllocatorMoment) -> str:
    levels, reserved = found.result.end, found.result.end.reserved
    free = reserved - levels.allocated
    return (
        f"{len(found.segments):,} segments, {format_bytes(reserved)} reserved; "
        f"{format_bytes(free)} of it free, {format_bytes(levels.fragmented)} in pieces too small"
    )


def _origin(subject: Subject, found: AllocatorMoment, time_ns: int) -> str:
    """What is modelled here, and how far the model is from what was measured."""
    if subject.name == "cpu":
        return (
            "Host memory has no caching allocator: this is what PyTorch's for CUDA would hold "
            "after the same requests, by the model behind memprof replay."
        )
    text = (
        "A trace has no addresses: this is what the model behind memprof replay makes of the "
        "same requests, on one stream with PyTorch's default settings."
    )
    measured = series(subject.trace, f"{subject.name}/reserved_bytes").at(time_ns)
    if measured is None:
        return f"{text} Reserved bytes were not measured, so it cannot be checked."
    gap = found.result.end.reserved - measured
    return (
        f"{text} Measured: {format_bytes(measured)} reserved, {format_bytes(gap, sign=True)} off."
    )


VIEW = View("allocator", "Allocator", panel, at=panel_at)

"""Gradients that are alive in a forward although the optimizer has used them already."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.evidence import (
    Span,
    alive,
    highest_between,
    is_near_peak,
    of_category,
    spans,
    total_bytes,
)
from memprof.analyze.findings.finding import Finding
from memprof.trace import CATEGORIES, LABELS, Trace
from memprof.trace.document import Ints


def kept_gradients(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of gradients that an optimizer has used and that the next forward finds alive."""
    forwards = _forwards_after_step(analysis.trace)
    most, event, begin_ns = max(
        (_at_highest(device, span) for span in forwards), default=(0, -1, 0)
    )
    if most <= 0:
        return
    used = _from_before(device, event, begin_ns)
    yield Finding(
        kind="kept_gradients",
        bytes=total_bytes(device, used),
        text=f"{len(used):,} gradients that the optimizer has used already are alive in the "
        "next forward.",
        fix="Call optimizer.zero_grad(set_to_none=True) before the forward.",
        device=device.name,
        event=event,
        allocations=tuple(used.tolist()),
    )


def _forwards_after_step(trace: Trace) -> list[Span]:
    """Forwards before which an optimizer stepped later than any backward ran.

    A forward inside a backward recomputes something.
    """
    found: list[Span] = []
    last, until = "", 0
    for span in spans(trace, "forward", "backward", "optimizer"):
        name = trace.strings[trace.phases.name[span.number]]
        if name == "forward" and last == "optimizer" and span.begin_ns >= until:
            found.append(span)
        elif name != "forward":
            last, until = name, max(until, span.end_ns)
    return found


def _at_highest(device: DeviceAnalysis, forward: Span) -> tuple[int, int, int]:
    """Gradient bytes before a forward that comes near the peak, its highest event, its begin."""
    event = highest_between(device, forward.begin_ns, forward.end_ns)
    before = np.searchsorted(device.time_ns, [forward.begin_ns]) - 1
    near = is_near_peak(device, event)
    held = device.levels.at(before)[CATEGORIES.index("gradients"), 0] if near else 0
    return int(held), event, forward.begin_ns


def _from_before(device: DeviceAnalysis, event: int, begin_ns: int) -> Ints:
    """Gradients from before a time that are alive after an event; not the buckets of DDP."""
    trace = device.levels.trace
    held = of_category(device, alive(device, event), "gradients")
    shared = trace.labels.allocation[trace.labels.kind == LABELS.index("communication")]
    before = trace.events.time_ns[trace.allocations.birth[held]] < begin_ns
    return held[before & ~np.isin(held, shared)]

"""Tensors that a program keeps from step to step, more of them in every step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.findings.finding import Finding
from memprof.analyze.findings.places import Place, places_of, told
from memprof.analyze.findings.views import barely_covered
from memprof.analyze.phases import end_ns
from memprof.trace import CATEGORIES, ORIGINS, Trace
from memprof.trace.document import Ints
from memprof.units import format_bytes

_STEPS = 3
#: What grows by its nature, or is there for good once it is made.
_MAY_GROW = ("weights", "buffers", "kv_cache", "recurrent_state", "gradients", "optimizer_state")


def growth(analysis: Analysis, device: DeviceAnalysis) -> Iterator[Finding]:
    """Tells of what outlived its step, by the line that made it, where a line's bytes grow."""
    places = growing_places(device)
    if not places:
        return
    bounds = step_bounds(analysis.trace)
    kept = np.sort(np.concatenate([place.allocations for place in places]))
    total, steps = sum(place.bytes for place in places), len(bounds) - 2
    yield Finding(
        kind="growth",
        bytes=total,
        text=f"These outlived the step that made them and more come with every step, "
        f"{format_bytes(total // steps)} on average. They are made at {told(places)}.",
        fix="Keep no tensor of a step beyond it: what you collect, collect as numbers or with "
        ".detach().cpu(), and clear the list.",
        device=device.name,
        event=int(bounds[-1]) - 1,
        allocations=tuple(kept.tolist()),
    )


def step_bounds(trace: Trace) -> Ints:
    """Numbers of the first event of each step, and of the first one after the last one's phases.

    What the program gives up after its loop would hide what it held in it.
    """
    begins = trace.steps.begin_ns
    ends = trace.phases.end_ns[trace.phases.end_ns >= 0]
    last = max([*ends.tolist(), *begins.tolist()], default=end_ns(trace))
    bounds: Ints = np.searchsorted(trace.events.time_ns, [*begins.tolist(), last + 1])
    return bounds


def growing_places(device: DeviceAnalysis) -> list[Place]:
    """Places whose bytes grow from step to step, those with the most first.

    Each has what is alive after the last step and was made before it.
    """
    bounds = step_bounds(device.levels.trace)
    if len(bounds) <= _STEPS:
        return []
    trace, category = device.levels.trace, device.levels.attribution.category
    rows = trace.allocations
    grows = ~np.isin(category, [CATEGORIES.index(name) for name in _MAY_GROW])
    grows &= rows.origin != ORIGINS.index("before")
    grows[barely_covered(trace)] = False  # another finding's
    outlived = np.searchsorted(bounds, rows.birth, side="right")
    beyond = rows.death >= np.append(bounds, len(trace.events) + 1)[outlived]
    chosen = np.flatnonzero(grows & beyond & (rows.device == device.levels.number))
    places = places_of(trace, chosen)
    kept = [
        _held(trace, place.allocations, bounds)
        for place in places
        if _grows(_counts(trace, place.allocations, bounds))
    ]
    return places_of(trace, np.concatenate(kept)) if kept else []


def _counts(trace: Trace, members: Ints, bounds: Ints) -> Ints:
    """How many of some allocations are alive after each step.

    One tensor that is made anew in every step, a little longer each time, is held once.
    """
    births, deaths = (
        np.searchsorted(np.sort(events[members]), bounds[1:])
        for events in (trace.allocations.birth, trace.allocations.death)
    )
    held: Ints = births - deaths
    return held


def _grows(counts: Ints) -> bool:
    """Whether they never become fewer and become more in half of the steps, twice at least."""
    change = np.diff(counts)
    rises = int((change > 0).sum())
    return bool((change >= 0).all()) and rises >= max(2, len(change) / 2)


def _held(trace: Trace, members: Ints, bounds: Ints) -> Ints:
    """Those of some allocations that are alive after the last step and were made before it."""
    rows = trace.allocations
    held = (rows.birth[members] < bounds[-2]) & (rows.death[members] >= bounds[-1])
    kept: Ints = members[held]
    return kept

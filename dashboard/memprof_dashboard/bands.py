"""Steps and phases as bars under the timeline, few enough to draw at any zoom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from html import escape
from typing import Any

import numpy as np

from memprof.analyze import phase_spans
from memprof.analyze.phases import SEPARATOR, end_ns, seconds
from memprof.trace import Trace

#: Rows of phases drawn at most; phases nested deeper than that are left to the headline.
ROWS = 3
_PIXELS = 1_100  # of a narrow screen, wide
_LETTER = 6.5
_LEAST_WIDTH = 1 / 600  # of the window; narrower neighbours are merged into one bar
_SHADES = {"forward": "#8fa3b8", "backward": "#5f7489", "optimizer": "#b9a58a", "load": "#c9ced4"}
_SHADES |= {"prefill": "#5f7489", "decode": "#a9b8c6", "recompute": "#75899c"}
_OTHER = "#c4bdd0"
_STEP_SHADES = ("#d5dae0", "#c3cad2")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: seconds since the trace began, the row (0 for steps), and what it says."""

    begin: float
    end: float
    row: int
    text: str
    hover: str
    color: str
    short: str = ""


class Bands:
    """All steps and phases of a trace.

    Args:
        trace: the recording.
    """

    def __init__(self, trace: Trace) -> None:
        self._bars = sorted([*_steps(trace), *_phases(trace)], key=lambda bar: (bar.row, bar.begin))
        self.rows = 1 + max((bar.row for bar in self._bars), default=-1)

    def within(self, begin: float, end: float) -> list[Bar]:
        """The bars of a window; those too narrow to see are merged with their neighbours."""
        least = (end - begin) * _LEAST_WIDTH
        merged: list[Bar] = []
        pending: list[Bar] = []
        for whole in self._bars:
            if whole.end <= begin or whole.begin >= end:
                continue
            bar = _clipped(whole, begin, end)
            if pending and (bar.row != pending[0].row or bar.end - pending[0].begin > 4 * least):
                merged.append(_merge(pending))
                pending = []
            if bar.end - bar.begin < least:
                pending.append(bar)
            else:
                if pending:
                    merged.append(_merge(pending))
                    pending = []
                merged.append(bar)
        return [*merged, _merge(pending)] if pending else merged


def band_trace(bars: list[Bar], span: tuple[float, float]) -> dict[str, Any]:
    """The bars as entries of one bar trace; only those that have room for it get a text."""
    second = _PIXELS / max(span[1] - span[0], 1e-12)
    return {
        "base": [bar.begin for bar in bars],
        "x": [bar.end - bar.begin for bar in bars],
        "y": [-bar.row for bar in bars],
        "text": [_fitting(bar, second) for bar in bars],
        "customdata": [bar.hover for bar in bars],
        "marker.color": [bar.color for bar in bars],
    }


def _fitting(bar: Bar, pixels_a_second: float) -> str:
    width = (bar.end - bar.begin) * pixels_a_second
    if width >= _LETTER * len(bar.text) + 4:
        return bar.text
    return bar.short if width >= _LETTER * len(bar.short) + 4 else ""


def _steps(trace: Trace) -> list[Bar]:
    begins = trace.steps.begin_ns
    ends = np.append(begins[1:], end_ns(trace)) if len(begins) else begins
    spans = [
        (seconds(trace, int(b)), seconds(trace, int(e))) for b, e in zip(begins, ends, strict=True)
    ]
    return [
        Bar(begin, end, 0, f"step {step}", f"step {step}", _STEP_SHADES[step % 2], str(step))
        for step, (begin, end) in enumerate(spans)
    ]


def _phases(trace: Trace) -> list[Bar]:
    escaped = cache(escape)
    bars = []
    for span in phase_spans(trace):
        if span.depth < ROWS:
            leaf = span.name.rpartition(SEPARATOR)[2]
            color = _SHADES.get(leaf, _OTHER)
            names = escaped(leaf), escaped(span.name)
            bars.append(Bar(span.begin, span.end, span.depth + 1, *names, color))
    return bars


def _clipped(bar: Bar, begin: float, end: float) -> Bar:
    if bar.begin >= begin and bar.end <= end:
        return bar
    return replace(bar, begin=max(bar.begin, begin), end=min(bar.end, end))


def _merge(bars: list[Bar]) -> Bar:
    if len(bars) == 1:
        return bars[0]
    names = list(dict.fromkeys(bar.hover for bar in bars))
    told = ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
    return Bar(
        bars[0].begin, bars[-1].end, bars[0].row, "", f"{len(bars)} short: {told}", bars[0].color
    )

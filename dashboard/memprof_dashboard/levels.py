"""From what tensors asked for to what the driver reports, as bars: each level, each gap between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dash import html

from memprof.analyze import Moment, waterfall
from memprof.analyze.waterfall import GAP_TEXTS, LEVEL_TEXTS, Gap
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.subjects import Subject


def level_bars(subject: Subject, moment: Moment) -> list[Any]:
    """The waterfall of a moment; nothing where only what tensors asked for is known."""
    found = waterfall(subject.trace, subject.name, moment)
    known = {level: nbytes for level, nbytes in found.levels.items() if nbytes is not None}
    if len(known) < 2:
        return []
    most = max(1, *known.values())
    rows: list[Any] = []
    before = 0
    for level, nbytes in known.items():
        gaps = [gap for gap in found.gaps if gap.upper == level]
        rows += _gap_rows(gaps, before, most)
        rows.append(_row(LEVEL_TEXTS[level], nbytes, 0, nbytes, most, "level"))
        before = nbytes
    end = "the process" if subject.name == "cpu" else "nvidia-smi"
    return [html.H3(f"From tensors to {end}"), html.Div(rows, className="levels")]


def _gap_rows(gaps: list[Gap], begin: int, most: int) -> Iterator[Any]:
    for gap in gaps:
        end = begin + gap.bytes
        low, high = min(begin, end), max(begin, end)
        yield _row(GAP_TEXTS[gap.name], gap.bytes, low, high, most, "gap", sign=True)
        begin = end


def _row(
    name: str, nbytes: int, low: int, high: int, most: int, kind: str, *, sign: bool = False
) -> Any:
    place = {"left": f"{100 * low / most:.2f}%", "width": f"{100 * (high - low) / most:.2f}%"}
    return html.Div(
        [
            html.Span(name, className="level-name", title=name),
            html.Span(html.Span(className="level-fill", style=place), className="bar-track"),
            html.Span(format_bytes(nbytes, sign=sign), className="bar-bytes"),
        ],
        className=f"level {kind}",
    )

"""Each allocation of the window as a rectangle of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from html import escape
from typing import Any

from memprof.analyze import Moment
from memprof.analyze.blocks import Blocks, blocks
from memprof.palette import CATEGORY_COLORS
from memprof.trace import CATEGORIES
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.bands import band_trace
from memprof_dashboard.overlays import INK_LINE
from memprof_dashboard.scale import scale_for, typed_array
from memprof_dashboard.theme import base_layout, label
from memprof_dashboard.timeline import TimelineFigure
from memprof_dashboard.timeline_parts import axes, bars, selection_line

STACK, BLOCKS, CHANGING = "stack", "blocks", "changing"
#: How the timeline can be drawn, and what its buttons say.
MODES = {STACK: "Categories", BLOCKS: "Blocks", CHANGING: "Blocks that change"}
NOTE = (
    "A block is as high as it is large. Where it lies is no address: what stays longest lies "
    "lowest. The line is what all of them hold together."
)
_HEADROOM = 1.04


def window_blocks(
    chart: TimelineFigure, window: Sequence[float] | None, hidden: Collection[str], mode: str
) -> Blocks:
    """What lives within a window, of the categories that are not hidden."""
    subject = chart.subject
    seen = [category for category in CATEGORIES if category not in hidden]
    return blocks(
        subject.device.levels,
        *subject.span_ns(window),
        categories=seen,
        hide_spanning=mode == CHANGING,
    )


def blocks_text(found: Blocks, mode: str) -> str:
    """How many blocks are drawn, and what is not."""
    drawn = len(found.allocations)
    text = "1 block" if drawn == 1 else f"{drawn:,} blocks"
    if found.left_out:
        text = f"the {drawn:,} largest of {drawn + found.left_out:,} blocks"
    if mode == CHANGING and found.spanning:
        hidden = format_bytes(found.spanning_bytes)
        text += f", without {found.spanning:,} that span the window ({hidden})"
    return text


def blocks_figure(
    chart: TimelineFigure,
    found: Blocks,
    window: Sequence[float] | None,
    hidden: Collection[str],
    moment: Moment,
) -> dict[str, Any]:
    """The rectangles over the bars of steps and phases, the chosen moment marked."""
    subject, zero = chart.subject, chart.subject.trace.begin_ns
    begin, end = ((at - zero) / 1e9 for at in subject.span_ns(window))
    scale = scale_for(max(1, found.height))
    held = found.nbytes / scale.factor
    trace = {
        "type": "bar",
        "orientation": "h",
        "base": typed_array((found.begin_ns - zero) / 1e9),
        "x": typed_array((found.end_ns - found.begin_ns) / 1e9),
        "y": typed_array(found.offset / scale.factor + held / 2),
        "width": typed_array(held),
        "marker": {
            "color": _colors(chart, found),
            "line": {"width": 0.5, "color": "rgba(20,23,27,0.35)"},
        },
        "customdata": found.allocations.tolist(),  # a click knows no typed array
        "hovertext": _told(chart, found),
        "hovertemplate": "%{hovertext}<extra></extra>",
        "textposition": "none",
    }
    band = {**bars(), **band_trace(chart.bands.within(begin, end), (begin, end))}
    band["marker"] = {"line": {"width": 0}, "color": band.pop("marker.color")}
    layout = base_layout(
        margin={"l": 64, "r": 12, "t": 8, "b": 30},
        barmode="overlay",
        dragmode="zoom",
        hovermode="closest",
        showlegend=False,
        uirevision=f"{begin} {end}",
        shapes=[selection_line(moment)],
        **axes((begin, end), _HEADROOM * found.height / scale.factor, scale.unit, chart.bands.rows),
    )
    return {"data": [trace, band, _level_line(chart, found, window, hidden)], "layout": layout}


def _level_line(
    chart: TimelineFigure,
    found: Blocks,
    window: Sequence[float] | None,
    hidden: Collection[str],
) -> dict[str, Any]:
    """What the blocks hold together: where they lie is no address, and holes do not count."""
    scale = scale_for(max(1, found.height))
    timeline = chart.sample(*chart.subject.span_ns(window), hidden)
    held = chart.seen_total(timeline.by_category, hidden) - found.hidden_bytes
    return {
        "type": "scatter",
        "mode": "lines",
        "x": typed_array(timeline.seconds),
        "y": scale.typed(held),
        "line": {"width": 1.4, "shape": "hv", "color": INK_LINE},
        "hoverinfo": "skip",
    }


def _colors(chart: TimelineFigure, found: Blocks) -> list[str]:
    category = chart.subject.device.levels.attribution.category[found.allocations]
    return [CATEGORY_COLORS[CATEGORIES[number]] for number in category.tolist()]


def _told(chart: TimelineFigure, found: Blocks) -> list[str]:
    """What the hover says of each, with all names as text."""
    levels, chosen = chart.subject.device.levels, found.allocations
    trace, attribution = levels.trace, levels.attribution
    text = cache(lambda number: escape(trace.strings[number]))
    rows = zip(
        attribution.name[chosen].tolist(),
        trace.allocations.op[chosen].tolist(),
        attribution.module[chosen].tolist(),
        attribution.category[chosen].tolist(),
        found.nbytes.tolist(),
        strict=True,
    )
    return [
        f"<b>{text(name) or text(op) or 'no name'}</b><br>{text(module)}<br>"
        f"{format_bytes(nbytes)} · {label(CATEGORIES[category])}"
        for name, op, module, category, nbytes in rows
    ]

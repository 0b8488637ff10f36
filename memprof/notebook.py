"""A trace as a notebook or an interactive session shows it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from memprof.units import format_bytes

if TYPE_CHECKING:
    from memprof.analyze import Analysis, Moment

_CELL = 'style="text-align:right;padding:0 1em 0 0"'


def sentence(moment: Moment) -> str:
    """Says when and where a device held its most: one sentence for people."""
    where = " of ".join(part for part in (moment.phase, moment.module) if part)
    step = "" if moment.step is None else f", step {moment.step}"
    place = f", {where}" if where else ""
    held = format_bytes(moment.requested_bytes)
    return f"peak {held} on {moment.device} at {moment.seconds:.3f} s{step}{place}"


def as_text(analysis: Analysis) -> str:
    """One line a device: its peak."""
    peaks = [sentence(analysis.device(name).peak) for name in analysis.devices]
    return "\n".join(peaks) or "nothing was recorded"


def as_html(analysis: Analysis) -> str:
    """The peak of every device with its categories, as a small table without any script."""
    parts = [_device_html(analysis.device(name).peak) for name in analysis.devices]
    return "".join(parts) or "<p>nothing was recorded</p>"


def _device_html(peak: Moment) -> str:
    rows = "".join(
        f"<tr><td>{escape(category)}</td><td {_CELL}>{format_bytes(held)}</td>"
        f"<td {_CELL}>{held / peak.requested_bytes:.1%}</td></tr>"
        for category, held in sorted(peak.by_category.items(), key=lambda item: -item[1])
        if held
    )
    return f"<p>{escape(sentence(peak))}</p><table>{rows}</table>"

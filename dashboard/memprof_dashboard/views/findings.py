"""What was found: the bytes at stake, what to do, and the tensors that show it."""

from __future__ import annotations

from typing import Any

from dash import html

from memprof.analyze.findings import Finding
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.state import Shown
from memprof_dashboard.views.view import View, card, jump, nothing


def panel(shown: Shown, number: int) -> Any:
    """All findings of a trace, the most bytes first."""
    found = shown.findings(number)
    if not found:
        return nothing(
            "Nothing to find fault with",
            "No rule found memory that this run holds without need.",
        )
    most = found[0].bytes
    rows = [_row(shown, number, place, finding, most) for place, finding in enumerate(found, 1)]
    note = "memory that this run holds without need, the most bytes first"
    return card("Findings", note, html.Ol(rows, className="findings"))


def _row(shown: Shown, number: int, place: int, finding: Finding, most: int) -> Any:
    subject = shown.beside(number, finding.device)
    share = {"width": f"{100 * finding.bytes / max(1, most):.1f}%"}
    amount = html.Div(
        [
            html.Span(format_bytes(finding.bytes), className="amount"),
            html.Div(html.Span(style=share), className="stake"),
            html.Span(finding.device, className="quiet"),
        ]
    )
    words = html.Div([html.P(finding.text), html.P(finding.fix, className="fix")])
    told = len(finding.allocations)
    listed = f"Show its {told:,} tensors" if told > 1 else "Show its tensor"
    button = jump(
        listed if told else "Show the moment",
        subject,
        finding.event,
        f"finding:{place}" if told else "",
    )
    return html.Li([amount, words, button])


VIEW = View("findings", "Findings", panel, lambda shown, number: len(shown.findings(number)))

"""Measured against estimated, category by category, and why they differ."""

from __future__ import annotations

from typing import Any

from dash import html

from memprof.analyze.compare import CategoryComparison, compare
from memprof.palette import CATEGORY_COLORS
from memprof_dashboard.amounts import format_bytes
from memprof_dashboard.subjects import Subject
from memprof_dashboard.theme import label


def comparison_table(subject: Subject) -> list[Any]:
    """Heading and table of one subject; what was neither held nor expected is named below."""
    rows = [row for row in compare(subject.analysis) if row.device == subject.name]
    used = [row for row in rows if row.measured_bytes or row.estimated_bytes]
    unused = [label(row.category) for row in rows if row not in used]
    head = ["Category", "Measured", "Estimated", "Error", "", "Why"]
    cells = [html.Th(text, className="number" if 0 < n < 5 else "") for n, text in enumerate(head)]
    table = [html.Thead(html.Tr(cells)), html.Tbody([_row(row) for row in used])]
    note = f"Neither held nor expected: {', '.join(unused)}." if unused else ""
    return [
        html.Div(
            [
                html.H2("Measured against estimated"),
                html.Span("each category at its own highest", className="quiet"),
            ],
            className="card-head",
        ),
        html.Table(table, className="comparison"),
        html.P(note, className="quiet note"),
    ]


def _row(row: CategoryComparison) -> Any:
    swatch = html.I(className="square", style={"background": CATEGORY_COLORS[row.category]})
    side = "" if not row.error_bytes else " over" if row.error_bytes > 0 else " under"
    return html.Tr(
        [
            html.Td([swatch, label(row.category)]),
            html.Td(format_bytes(row.measured_bytes), className="number"),
            html.Td(_bytes(row.estimated_bytes), className="number"),
            html.Td(_bytes(row.error_bytes, sign=True), className=f"number{side}"),
            html.Td(_share(row), className=f"number{side}"),
            html.Td(_why(row), className="why", title="\n".join(row.assumptions)),
        ]
    )


def _bytes(nbytes: int | None, *, sign: bool = False) -> str:
    return "–" if nbytes is None else format_bytes(nbytes, sign=sign)


def _share(row: CategoryComparison) -> str:
    if row.error_bytes == 0:
        return "exact"
    if row.error_percent is None:
        return ""
    return f"{row.error_percent:+.1f} %" if abs(row.error_percent) >= 0.05 else "≈ 0 %"


def _why(row: CategoryComparison) -> list[Any]:
    if row.formula in row.explanation or row.estimated_bytes is None:
        return [row.explanation]
    return [row.explanation, html.Div(row.formula, className="formula")]

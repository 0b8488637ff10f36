"""Measured against estimated."""

from __future__ import annotations

from typing import Any

from dash import html

from memprof_dashboard.comparison import comparison_table
from memprof_dashboard.state import Shown
from memprof_dashboard.views.view import View


def panel(shown: Shown, number: int) -> Any:
    """The comparison of a subject with what analysis expects of it."""
    table = comparison_table(shown.subject(number))
    return html.Section(table, className="card", id="comparison")


VIEW = View("analysis", "Against analysis", panel)

"""All views, in the order in which their buttons stand."""

from __future__ import annotations

from memprof_dashboard.views import allocator, analysis, difference, findings, steps, what_if
from memprof_dashboard.views.view import MOMENT, View

VIEWS: tuple[View, ...] = (
    findings.VIEW,
    steps.VIEW,
    analysis.VIEW,
    allocator.VIEW,
    difference.VIEW,
    what_if.VIEW,
)
KEYS = (MOMENT, *(view.key for view in VIEWS))

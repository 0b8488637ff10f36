"""What attribution says of the few allocations of a small trace."""

from __future__ import annotations

from typing import Any

from memprof.attribute import RULES, attribute
from memprof.trace import CATEGORIES
from tests.trace_builder import TraceBuilder


def verdicts(build: TraceBuilder, **how: Any) -> list[tuple[str, str]]:
    """Category and rule of every allocation."""
    found = attribute(build.trace(**how))
    return [
        (CATEGORIES[category], RULES[rule])
        for category, rule in zip(found.category, found.rule, strict=True)
    ]

"""What the scripts of the lab ask a recording."""

from __future__ import annotations

import memprof
from memprof.api import Tracing


def highest(tracing: Tracing, category: str, device: str = "cpu") -> int:
    """The most bytes that a category held; of weights, from the model's first call on."""
    rows = memprof.compare(tracing.analysis)
    return sum(
        row.measured_bytes for row in rows if row.category == category and row.device == device
    )


def after_calls(tracing: Tracing, category: str, phases: tuple[str, ...]) -> list[int]:
    """Bytes of a category on the CPU at the end of each phase of one of these names."""
    trace, device = tracing.trace, tracing.analysis.device("cpu")
    ended = [
        int(trace.phases.end_ns[number])
        for number, name in enumerate(trace.phases.name)
        if trace.strings[name] in phases
    ]
    return [device.at_time(time_ns).by_category[category] for time_ns in ended]

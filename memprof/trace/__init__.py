"""The trace file: its schema, its append-only writer, its strict reader. Needs numpy alone."""

from memprof.trace.document import (
    Allocations,
    Details,
    Events,
    Fact,
    Labels,
    Phases,
    Remark,
    Samples,
    Sequences,
    Steps,
    Trace,
    Views,
    Workspaces,
)
from memprof.trace.reader import load, read, read_header
from memprof.trace.schema import CATEGORIES, FORWARD_PHASES, LABELS, ORIGINS, VERSION
from memprof.trace.writer import TraceWriter

__all__ = [
    "CATEGORIES",
    "FORWARD_PHASES",
    "LABELS",
    "ORIGINS",
    "VERSION",
    "Allocations",
    "Details",
    "Events",
    "Fact",
    "Labels",
    "Phases",
    "Remark",
    "Samples",
    "Sequences",
    "Steps",
    "Trace",
    "TraceWriter",
    "Views",
    "Workspaces",
    "load",
    "read",
    "read_header",
]

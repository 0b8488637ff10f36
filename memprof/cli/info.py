"""``memprof info``: what a trace file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memprof.cli.options import AsJson, Color, Debug, Force, Output, Quiet, TraceFile
from memprof.cli.output import Destination, emit

if TYPE_CHECKING:
    from memprof.trace import Trace


def info(
    trace: TraceFile,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    color: Color = None,
    debug: Debug = False,
) -> None:
    """Say what a trace file holds."""
    del debug
    destination = Destination(as_json, output, force, quiet, color)
    destination.check()

    from memprof.cli.render.info import info_text
    from memprof.trace import load

    document = info_document(load(trace))
    emit(document, info_text(document, quiet=quiet), destination)


def info_document(trace: Trace) -> dict[str, Any]:
    """Describes a trace file as plain data."""
    from memprof.analyze.driver import driver_document

    return {
        "schema": 1,
        "source": trace.source,
        "complete": trace.complete,
        "header": dict(trace.header),
        "counts": {
            "events": len(trace.events),
            "allocations": len(trace.allocations),
            "labels": len(trace.labels.time_ns),
            "phases": len(trace.phases) - 1,
            "steps": len(trace.steps),
            "samples": len(trace.samples.time_ns),
            "workspaces": len(trace.workspaces.time_ns),
            "facts": len(trace.facts),
            "strings": len(trace.strings),
        },
        "nvml": driver_document(trace),
        "warnings": [
            {"code": remark.code, "text": remark.text, "count": remark.count}
            for remark in trace.warnings
        ],
    }

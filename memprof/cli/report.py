"""``memprof report``: where the memory was at the highest moment."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from memprof.cli.options import AsJson, Color, Debug, Force, Output, Quiet, TraceFile
from memprof.cli.output import Destination, emit

Detail = Annotated[bool, typer.Option("--detail", help="List steps and modules too.")]


def report(
    trace: TraceFile,
    detail: Detail = False,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    color: Color = None,
    debug: Debug = False,
) -> None:
    """Show where the memory was at its peak."""
    del debug
    destination = Destination(as_json, output, force, quiet, color)
    destination.check()
    document = report_answer(str(trace))

    from memprof.cli.render.report import report_text

    emit(document, report_text(document, detail=detail, quiet=quiet), destination)


def report_answer(path: str) -> dict[str, Any]:
    """The report of a trace file, with `estimated` bytes of each category beside each peak's."""
    from memprof.analyze import analyze, report_document
    from memprof.trace import load

    analysis = analyze(load(path))
    document = report_document(analysis)
    for name, device in document["devices"].items():
        device["peak"]["estimated"] = _estimates(analysis, name)
    return document


def _estimates(analysis: Any, device: str) -> dict[str, dict[str, Any]]:
    from memprof.analyze.compare import estimate_at_peak

    found = estimate_at_peak(analysis, analysis.device(device).peak)
    return {
        category: {
            "bytes": estimate.bytes,
            "formula": estimate.formula,
            "assumptions": list(estimate.assumptions),
        }
        for category, estimate in found.items()
    }

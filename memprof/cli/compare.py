"""``memprof compare``: what was measured against what analysis says the run should need."""

from __future__ import annotations

from memprof.cli.options import AsJson, Color, Debug, Force, Output, Quiet, TraceFile
from memprof.cli.output import Destination, emit


def compare(
    trace: TraceFile,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    color: Color = None,
    debug: Debug = False,
) -> None:
    """Hold what was measured against analysis."""
    del debug
    destination = Destination(as_json, output, force, quiet, color)
    destination.check()

    from memprof.analyze import analyze
    from memprof.analyze.compare import compare_document
    from memprof.cli.render.compare import compare_text
    from memprof.trace import load

    document = compare_document(analyze(load(trace)))
    emit(document, compare_text(document, source=str(trace), quiet=quiet), destination)

"""``memprof compare``: what was measured against what analysis says the run should need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memprof.cli.options import AsJson, Color, Debug, Force, Output, Quiet, TraceFile
from memprof.cli.output import Destination, emit
from memprof.errors import UsageError

if TYPE_CHECKING:
    from memprof.trace import Trace

Predicted = Annotated[
    Path | None,
    typer.Option("--predicted", metavar="FILE", help="A trace that memprof predict wrote."),
]


def compare(
    trace: TraceFile,
    predicted: Predicted = None,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    color: Color = None,
    debug: Debug = False,
) -> None:
    """Hold what was measured against analysis, and against a prediction of the same run."""
    del debug
    destination = Destination(as_json, output, force, quiet, color)
    destination.check()

    from memprof.analyze import analyze
    from memprof.analyze.compare import compare_document
    from memprof.cli.render.compare import compare_text
    from memprof.trace import load

    expected = None if predicted is None else analyze(_loaded_prediction(predicted))
    document = compare_document(analyze(load(trace)), expected)
    emit(document, compare_text(document, source=str(trace), quiet=quiet), destination)


def _loaded_prediction(path: Path) -> Trace:
    from memprof.trace import load

    trace = load(path)
    if trace.header.get("source") != "predicted":
        raise UsageError(f"{path}: was measured; --predicted takes what memprof predict wrote")
    return trace

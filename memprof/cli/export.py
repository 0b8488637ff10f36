"""``memprof export``: a trace's views as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from memprof.cli.options import Debug, Force, Quiet, TraceFile
from memprof.cli.output import refuse_existing
from memprof.errors import MissingExtraError, TraceFileError, UsageError

Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="One page with everything in it, for any browser."),
]
Csv = Annotated[
    Path | None, typer.Option("--csv", metavar="FOLDER", help="A CSV file for each view.")
]
Png = Annotated[
    Path | None,
    typer.Option("--png", metavar="FOLDER", help="A picture of each chart; needs Chromium."),
]


def export(
    trace: TraceFile,
    html: Html = None,
    csv: Csv = None,
    png: Png = None,
    force: Force = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write what the views show into files."""
    del debug
    wanted = [path for path in (html, csv, png) if path is not None]
    if not wanted:
        raise UsageError("nothing to write: name --html FILE, --csv FOLDER or --png FOLDER")
    for path in wanted:
        refuse_existing(path, force)

    from memprof.analyze import analyze
    from memprof.analyze.tables import write_tables
    from memprof.trace import load

    analysis = analyze(load(trace))
    try:
        written = write_tables(analysis, csv) if csv is not None else []
        if html is not None or png is not None:
            write_html, write_pictures = _dashboard()
            if html is not None:
                write_html([analysis], html)
                written.append(html)
            if png is not None:
                written += write_pictures([analysis], png)
    except OSError as error:
        raise TraceFileError(f"{error.filename}: cannot be written: {error.strerror}") from None
    if not quiet:
        print(f"memprof: wrote {', '.join(map(str, written))}", file=sys.stderr)


def _dashboard() -> tuple[Any, Any]:
    try:
        from memprof_dashboard.export import write_html, write_pictures
    except ImportError as error:
        raise MissingExtraError(
            f"memprof export needs the dashboard for that, and {error.name} is missing: "
            "pip install 'torch-memprof[dashboard]'"
        ) from error
    return write_html, write_pictures

"""The options that verbs share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _remember_debug(context: typer.Context, value: bool) -> bool:
    if value and context.obj is not None:
        context.obj.debug = True
    return value


TraceFile = Annotated[
    Path, typer.Argument(metavar="TRACE", help="A trace file (.json, .json.gz or .json.zst).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write the answer to FILE."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an existing output file.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and nothing else.")]
Color = Annotated[
    str | None,
    typer.Option(
        "--color",
        metavar="auto|always|never",
        help="Colour the output; auto does on a terminal, unless NO_COLOR is set.",
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", callback=_remember_debug, is_eager=True, help="Show tracebacks of errors."
    ),
]

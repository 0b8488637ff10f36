"""``memprof view``: the trace in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from memprof.cli.options import Debug
from memprof.errors import MissingExtraError

TraceFiles = Annotated[
    list[Path],
    typer.Argument(metavar="TRACE", help="Trace files (.json, .json.gz or .json.zst)."),
]
Port = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, metavar="PORT", help="The port; 8050 if it is free."),
]
Host = Annotated[str, typer.Option("--host", metavar="HOST", help="The address to listen on.")]
Browser = Annotated[
    bool | None,
    typer.Option(
        "--browser/--no-browser",
        help="Open a browser, or do not; by default where somebody sits at this machine.",
    ),
]
Token = Annotated[
    bool, typer.Option("--token/--no-token", help="Ask visitors for the token in the address.")
]
Follow = Annotated[
    bool, typer.Option("--follow", help="Go on reading while the program writes the trace.")
]


def view(
    traces: TraceFiles,
    port: Port = None,
    host: Host = "127.0.0.1",
    browser: Browser = None,
    token: Token = True,
    follow: Follow = False,
    debug: Debug = False,
) -> None:
    """Show traces in a browser, until Ctrl-C."""
    del debug
    from memprof.trace import read_header

    for trace in traces:
        read_header(trace)
    try:
        from memprof_dashboard import serve
    except ImportError as error:
        raise MissingExtraError(
            f"memprof view needs the dashboard, and {error.name} is missing: "
            "pip install 'torch-memprof[dashboard]'"
        ) from error
    serve(traces, host=host, port=port, open_browser=browser, token=token, follow=follow)

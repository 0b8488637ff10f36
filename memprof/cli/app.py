"""The command's verbs."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import typer

import memprof
from memprof.cli.compare import compare
from memprof.cli.diff import diff
from memprof.cli.doctor import doctor
from memprof.cli.estimate import estimate
from memprof.cli.export import export
from memprof.cli.info import info
from memprof.cli.predict import predict
from memprof.cli.replay import replay
from memprof.cli.report import report
from memprof.cli.run import run
from memprof.cli.view import view

VERBS = (
    "run",
    "report",
    "compare",
    "diff",
    "estimate",
    "predict",
    "replay",
    "info",
    "view",
    "export",
    "doctor",
)

_HELP = """Where the memory of a PyTorch run went.

First:  memprof run train.py    Then:  memprof report memprof-train-….json
"""

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, help=_HELP
)


def _print_version(value: bool) -> None:
    if value:
        print(f"memprof {memprof.__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    del version


# Everything after the program's name belongs to the program.
app.command(context_settings={"allow_interspersed_args": False})(run)
app.command()(report)
app.command()(compare)
app.command()(diff)
app.command()(estimate)
app.command(context_settings={"allow_interspersed_args": False})(predict)
app.command()(replay)
app.command()(info)
app.command()(view)
app.command()(export)
app.command()(doctor)


@cache
def command() -> Any:
    """The whole command line, ready to be run with a list of arguments."""
    return typer.main.get_command(app)

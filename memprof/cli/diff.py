"""``memprof diff``: what grew between two traces, and whether it may."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from memprof.cli.options import AsJson, Color, Debug, Force, Output, Quiet
from memprof.cli.output import LIMIT_EXCEEDED, Destination, emit
from memprof.errors import UsageError

Before = Annotated[Path, typer.Argument(metavar="BEFORE", help="The trace to compare with.")]
After = Annotated[Path, typer.Argument(metavar="AFTER", help="The trace that is new.")]
FailOn = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="LIMIT",
        help="Exit with 3 if the peak or a category grew by more: '+5%', '+64 MiB', "
        "'activations=+5%', 'total=+1%'. May be given several times.",
    ),
]
AsMarkdown = Annotated[
    bool, typer.Option("--markdown", help="Print Markdown, as for a pull request.")
]


def diff(
    before: Before,
    after: After,
    fail_on: FailOn = None,
    as_markdown: AsMarkdown = False,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    color: Color = None,
    debug: Debug = False,
) -> int:
    """Show what grew between two traces."""
    del debug
    if as_json and as_markdown:
        raise UsageError("--json and --markdown: choose one of them")
    destination = Destination(as_json, output, force, quiet, color)
    destination.check()
    document = diff_answer(before, after, fail_on or [])

    from memprof.cli.render.diff import diff_text
    from memprof.cli.render.markdown import diff_markdown

    text = diff_markdown(document) if as_markdown else diff_text(document, quiet=quiet)
    emit(document, text, destination)
    for excess in document["exceeded"]:
        print(f"memprof: {excess['sentence']}", file=sys.stderr)
    return LIMIT_EXCEEDED if document["exceeded"] else 0


def diff_answer(before: Path, after: Path, limits: list[str]) -> dict[str, Any]:
    """The difference of two trace files, with the limits that it exceeds."""
    from memprof.analyze import analyze
    from memprof.analyze.diff import change_document, diff, diff_document
    from memprof.analyze.limits import exceeded, parse_limit
    from memprof.trace import load

    known = [parse_limit(text) for text in limits]
    old, new = analyze(load(before)), analyze(load(after))
    return {
        **diff_document(old, new),
        "limits": limits,
        "exceeded": [
            {
                "device": excess.device,
                "what": excess.what,
                "limit": excess.limit.text,
                **change_document(excess.change),
                "sentence": excess.sentence(),
            }
            for excess in exceeded(diff(old, new), known)
        ],
    }

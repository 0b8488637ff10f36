"""Where an answer goes and how: as text or as JSON, to stdout or to a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console, RenderableType

from memprof.config import COLORS, read_config
from memprof.errors import OutputExistsError, TraceFileError, UsageError

PLAIN_WIDTH = 120
#: The exit code of an answer that is more than was allowed.
LIMIT_EXCEEDED = 3


@dataclass(frozen=True, slots=True)
class Destination:
    """The common options of every verb that answers a question.

    Attributes:
        as_json: print JSON instead of text.
        output: a file instead of stdout.
        force: overwrite that file.
        quiet: leave out everything but the result.
        color: "auto", "always", "never", or None for what the project's settings say.
    """

    as_json: bool = False
    output: Path | None = None
    force: bool = False
    quiet: bool = False
    color: str | None = None

    def check(self) -> None:
        """Refuses an output that exists, and a colour that is none, before anything is read."""
        self.color_mode()
        if self.output is not None:
            refuse_existing(self.output, self.force)

    def color_mode(self) -> str:
        """The colour mode to use. Raises UsageError if there is no such mode."""
        if self.color is None:
            return read_config().color
        if self.color not in COLORS:
            raise UsageError(f"--color {self.color!r}: choose one of {', '.join(COLORS)}")
        return self.color


def refuse_existing(path: Path, force: bool) -> None:
    """Raises OutputExistsError if `path` exists and may not be overwritten."""
    if path.exists() and not force:
        raise OutputExistsError(
            f"{path}: exists already; choose another name with -o, or overwrite it with --force"
        )


def emit(
    document: Mapping[str, Any], text: str | Iterable[RenderableType], destination: Destination
) -> None:
    """Prints an answer.

    Args:
        document: the answer as data.
        text: the same for people, made only where it is wanted; a string is printed as it is.
        destination: where to and how.
    """
    if destination.output is None:
        _write(document, text, destination, sys.stdout)
        return
    try:
        with destination.output.open("w", encoding="utf-8") as stream:
            _write(document, text, destination, stream)
    except OSError as error:
        raise TraceFileError(f"{destination.output}: cannot be written: {error.strerror}") from None
    if not destination.quiet:
        print(f"memprof: wrote {destination.output}", file=sys.stderr)


def _write(
    document: Mapping[str, Any],
    text: str | Iterable[RenderableType],
    destination: Destination,
    stream: IO[str],
) -> None:
    if destination.as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False), file=stream)
        return
    if isinstance(text, str):
        stream.write(text)
        return
    console = console_for(stream, destination.color_mode())
    with console.capture() as printed:
        for part in text:
            console.print(part)
    stream.writelines(f"{line.rstrip()}\n" for line in printed.get().splitlines())


def console_for(stream: IO[str], color: str) -> Console:
    """A console on `stream`, `PLAIN_WIDTH` columns wide where that is no terminal."""
    always = True if color == "always" else None
    console = Console(
        file=stream,
        force_terminal=False if color == "never" else always,
        no_color=True if color == "never" else False if color == "always" else None,
        color_system="256" if color == "always" else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )
    if not stream.isatty():
        console.width = PLAIN_WIDTH
    return console

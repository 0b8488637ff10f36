"""The command's entry: runs a verb and turns whatever comes of it into an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from memprof.cli.suggest import check_verb
from memprof.errors import MemprofError, UsageError

ERROR = 1
USAGE = 2


@dataclass
class State:
    """What options said that the command's entry must know.

    Attributes:
        debug: errors come with their traceback.
    """

    debug: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0 fine, 1 error, 2 usage, 3 limit exceeded.

    `memprof run` leaves as the program it ran does: this function then raises what ends Python
    in the same way.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    state = State()
    try:
        outcome = _verb(given, state)
    except UsageError as error:
        return _failed(str(error), USAGE, state)
    except MemprofError as error:
        return _failed(str(error), ERROR, state)
    except BrokenPipeError:
        return _reader_left()
    except Exception as error:
        return _unexpected(error, state)
    return outcome if isinstance(outcome, int) else outcome()


def _verb(arguments: list[str], state: State) -> int | Callable[[], NoReturn]:
    """Runs one verb; `run` answers with a function that becomes the program."""
    import typer

    from memprof.cli.app import VERBS, command

    if not arguments:
        context = command().make_context("memprof", [], resilient_parsing=True)
        print(command().get_help(context), file=sys.stderr)
        return USAGE
    check_verb(arguments[0], VERBS)
    try:
        outcome: int | Callable[[], NoReturn] | None = command().main(
            arguments, "memprof", standalone_mode=False, obj=state
        )
        sys.stdout.flush()
    except typer.TyperException as error:
        verb = f" {arguments[0]}" if arguments[0] in VERBS else ""
        raise UsageError(f"{error.format_message()} (see memprof{verb} --help)") from None
    return outcome or 0


def _failed(message: str, code: int, state: State) -> int:
    if state.debug:
        traceback.print_exc()
    print(f"memprof: {message}", file=sys.stderr)
    return code


def _unexpected(error: Exception, state: State) -> int:
    hint = "" if state.debug else "; --debug shows where"
    text = " ".join(str(error).split())
    return _failed(f"internal error: {type(error).__name__}: {text}{hint}", ERROR, state)


def _reader_left() -> int:
    """Ends quietly where the reader of a pipe has gone, as in ``memprof report t.json | head``."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ERROR

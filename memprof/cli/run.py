"""``memprof run``: traces a program that nobody edited, and ends as that program ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from memprof.cli.options import Debug, Force, Quiet
from memprof.cli.output import refuse_existing
from memprof.cli.program import Program
from memprof.cli.recording import Recording
from memprof.cli.summary import print_summary
from memprof.config import checked_detail, checked_recorder, read_config
from memprof.errors import TraceFileError
from memprof.frames import hide_own_frames, hide_runner
from memprof.ranks import of_this_rank

Target = Annotated[str, typer.Argument(metavar="PROGRAM", help="A script, or with -m a module.")]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="ARGUMENTS", help="Handed to the program as they are."),
]
Module = Annotated[bool, typer.Option("-m", help="PROGRAM is a module, as in python -m.")]
TraceOutput = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="The trace file to write.  [default: memprof-<program>-<pid>.json] "
        "Each of torchrun's processes puts its rank into the name: .rank0.json",
    ),
]
Recorder = Annotated[
    str | None,
    typer.Option("--recorder", metavar="auto|native|dispatch", help="How to observe memory."),
]
Detail = Annotated[
    str | None,
    typer.Option(
        "--detail", metavar="modules|ops", help="What the allocator observer notes beside bytes."
    ),
]
SelfCheck = Annotated[
    bool,
    typer.Option(
        "--self-check", help="Compare what steps allocate with and without the recording."
    ),
]
Nvtx = Annotated[
    bool,
    typer.Option("--nvtx", help="Make NVTX ranges though nothing says that a tool (nsys) listens."),
]


def run(
    program: Target,
    arguments: Arguments = None,
    module: Module = False,
    output: TraceOutput = None,
    force: Force = False,
    recorder: Recorder = None,
    detail: Detail = None,
    self_check: SelfCheck = False,
    nvtx: Nvtx = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> Callable[[], NoReturn]:
    """Run a program and trace its memory.

    It ends as it would without memprof: same output, same exit code.
    """
    del debug
    config = read_config()
    if recorder is not None:
        config = replace(config, recorder=checked_recorder(recorder))
    if detail is not None:
        config = replace(config, detail=checked_detail(detail))
    config = replace(config, nvtx=config.nvtx or nvtx)
    started = Program(program, tuple(arguments or ()), module)
    started.prepare()
    shown = of_this_rank(output or Path(default_name(started)))
    refuse_existing(shown, force)
    if not shown.parent.is_dir():
        raise TraceFileError(f"{shown}: there is no folder {shown.parent}; make it first")
    recording = Recording(shown.absolute(), config, force=force, self_check=self_check, quiet=quiet)
    return partial(become, started, recording, shown, quiet)


def default_name(program: Program) -> str:
    """``memprof-<program>-<pid>.json``: no two processes write one file."""
    return f"memprof-{program.name}-{os.getpid()}.json"


def become(program: Program, recording: Recording, shown: Path, quiet: bool) -> NoReturn:
    """Runs the program and then ends this process as Python would have ended the program's."""
    error: BaseException | None = None
    recording.begin()
    try:
        try:
            program.execute()
        finally:
            _wait_for_threads()
    except BaseException as raised:
        error = raised
    recording.end(error)
    if error is not None and not isinstance(error, SystemExit):
        show_error(error)
    if not quiet and not recording.in_child:
        shown = shown.with_name(recording.output.name)
        print_summary(recording, shown, brief=isinstance(error, KeyboardInterrupt))
    if error is None:
        sys.exit(0)
    raise error


def _wait_for_threads() -> None:
    """Waits for what Python waits for at a program's end, so that it is recorded too."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def show_error(error: BaseException) -> None:
    """Prints the traceback by the program's own hook, and keeps Python from doing so again."""
    hide_own_frames(error)
    hide_runner(error)
    sys.excepthook(type(error), error, error.__traceback__)
    sys.excepthook = lambda *_: None

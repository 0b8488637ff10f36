"""``memprof predict``: what a program would need on a GPU that need not be there."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memprof.cli.options import AsJson, Color, Debug, Force, Quiet
from memprof.cli.output import LIMIT_EXCEEDED, Destination, emit, refuse_existing
from memprof.cli.program import Program
from memprof.cli.run import Arguments, Module, Target, show_error
from memprof.cli.trailing import trailing_options
from memprof.errors import MemprofError, UsageError

if TYPE_CHECKING:
    from memprof.tracing import Predicting

DEFAULT_GPU = "h100"

GpuName = Annotated[
    str | None,
    typer.Option("--gpu", metavar="NAME", help="The GPU to predict for.  [default: h100]"),
]
Device = Annotated[
    str, typer.Option("--device", metavar="cuda|cpu", help="cpu: the program finds no GPU at all.")
]
Ranks = Annotated[int | None, typer.Option("--ranks", metavar="N", help="As one of N processes.")]
Rank = Annotated[
    int | None,
    typer.Option("--rank", metavar="N", help="Which of them.  [default: the first and the last]"),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        metavar="fsdp2|ddp|tp",
        help="Distribute the model of a program that does not itself.",
    ),
]
Search = Annotated[
    str | None,
    typer.Option("--search", metavar="ARG=A..B", help="Find the largest --ARG with which it fits."),
]
WhatIf = Annotated[
    list[str] | None,
    typer.Option(
        "--what-if",
        metavar="fused|chunked_loss|checkpointing|8bit|bf16",
        help="Predict with this change; may be given several times.",
    ),
]
Without = Annotated[
    list[str] | None,
    typer.Option("--without", metavar="RULE", help="Leave out a rule about the GPU's kernels."),
]
Changes = Annotated[
    bool,
    typer.Option(
        "--changes/--no-changes", help="Look for changes that make it fit where it does not."
    ),
]
TraceOutput = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="The predicted trace to write."),
]


def predict(
    program: Target,
    arguments: Arguments = None,
    module: Module = False,
    gpu: GpuName = None,
    device: Device = "cuda",
    ranks: Ranks = None,
    rank: Rank = None,
    strategy: Strategy = None,
    search: Search = None,
    what_if: WhatIf = None,
    without: Without = None,
    changes: Changes = True,
    output: TraceOutput = None,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    color: Color = None,
    debug: Debug = False,
) -> int:
    """Predict what a program would need on a GPU, without the GPU.

    The program runs on fake tensors: no weights are made, no checkpoint is read or written, and
    what it prints goes to stderr. --gpu, --ranks, --strategy, --search and --json may also stand
    after the program; what else stands there, and all after --, is the program's own. Ends with 3
    if the program does not fit on the GPU that --gpu names.
    """
    del debug
    valued = {"--gpu": gpu, "--ranks": ranks, "--strategy": strategy, "--search": search}
    own, given = trailing_options(
        arguments or (),
        {name: value is None for name, value in valued.items()},
        {"--json": not as_json},
    )
    wanted = {name: own.get(name, value) for name, value in valued.items()}
    destination = Destination(as_json or "--json" in own, quiet=quiet, color=color)
    destination.color_mode()

    from memprof.predict.answer.search import parse_range
    from memprof.predict.options import PredictOptions

    options = PredictOptions(
        device=device,
        gpu=str(wanted["--gpu"] or DEFAULT_GPU),
        without=tuple(without or ()),
        ranks=_number(wanted["--ranks"]),
        rank=rank or 0,
        strategy=str(wanted["--strategy"] or ""),
        changes=tuple(what_if or ()),
    )
    searched = None if wanted["--search"] is None else parse_range(str(wanted["--search"]))
    line = (*(["-m"] if module else []), program, *given)
    started = Program(program, tuple(given), module)
    shown = output or Path(f"memprof-predicted-{started.name}-{os.getpid()}.json")
    refuse_existing(shown, force)
    prediction = _prediction(shown.absolute(), options, force)
    started.prepare()
    failure = _run(started, prediction)
    if failure is not None:
        return failure

    from memprof.cli.render.predict import predict_text
    from memprof.predict.answer import full_answer

    document = full_answer(
        prediction.analysis, options, line, searched, changes=changes, every_role=rank is None
    )
    emit(document, predict_text(document, source=str(shown), quiet=quiet), destination)
    return LIMIT_EXCEEDED if wanted["--gpu"] and not _fits(document) else 0


def _fits(document: Mapping[str, Any]) -> bool:
    """Whether every rank that was predicted fits."""
    first = document["fits"].get(document["gpu"], {"fits": True})["fits"]
    return first and all(role["fits"] is not False for role in document["roles"] or ())


def _number(value: object) -> int | None:
    if value is None or isinstance(value, int):
        return value
    if str(value).isdecimal():
        return int(str(value))
    raise UsageError(f"--ranks {value!r} is not a number")


def _prediction(output: Path, options: Any, force: bool) -> Predicting:
    from memprof.config import read_config
    from memprof.tracing import Predicting

    return Predicting(output, force, read_config().stack_bytes, options)


def _run(program: Program, prediction: Predicting) -> int | None:
    """Runs the program to its end; the exit code if it failed."""
    with redirect_stdout(sys.stderr):
        try:
            with prediction:
                program.execute()
        except SystemExit as ended:
            return _code(ended)
        except MemprofError:
            raise
        except Exception as error:
            show_error(error)
            return 1
    return None


def _code(ended: SystemExit) -> int | None:
    if ended.code is None or ended.code == 0:
        return None
    if isinstance(ended.code, int):
        return ended.code
    print(ended.code, file=sys.stderr)
    return 1

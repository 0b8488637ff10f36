"""``memprof predict``: what a program would need on a GPU that need not be there."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memprof.cli.options import AsJson, Color, Debug, Force, Quiet
from memprof.cli.output import Destination, emit, refuse_existing
from memprof.cli.program import Program
from memprof.cli.run import Arguments, Module, Target, show_error
from memprof.cli.trailing import trailing_options

if TYPE_CHECKING:
    from memprof.api import Predicting

EXCEEDED = 3
DEFAULT_GPU = "h100"

GpuName = Annotated[
    str | None,
    typer.Option("--gpu", metavar="NAME", help="The GPU to predict for.  [default: h100]"),
]
Device = Annotated[
    str,
    typer.Option("--device", metavar="cuda|cpu", help="cpu: the program finds no GPU at all."),
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
    output: TraceOutput = None,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    color: Color = None,
    debug: Debug = False,
) -> int:
    """Predict what a program would need on a GPU, without the GPU.

    The program runs on fake tensors: no weights are made, no checkpoint is read, and what it
    prints goes to stderr. --gpu and --json may also stand after the program; what else stands
    there is the program's own. Ends with 3 if it does not fit on the GPU that --gpu names.
    """
    del debug
    own, given = trailing_options(arguments or (), {"--gpu": gpu is None}, {"--json": not as_json})
    gpu, as_json = gpu or own.get("--gpu"), as_json or "--json" in own
    started = Program(program, tuple(given), module)
    started.prepare()
    shown = output or Path(f"memprof-predicted-{started.name}-{os.getpid()}.json")
    refuse_existing(shown, force)
    prediction = _prediction(shown.absolute(), gpu or DEFAULT_GPU, device, force)
    failure = _run(started, prediction)
    if failure is not None:
        return failure

    from memprof.cli.render.predict import predict_text
    from memprof.predict.answer import answer

    document = answer(prediction.analysis, prediction.gpu)
    text = predict_text(document, source=str(shown), quiet=quiet)
    emit(document, text, Destination(as_json, quiet=quiet, color=color))
    fit = document["fits"].get(prediction.gpu.hardware.key, {"fits": True})
    return EXCEEDED if gpu and not fit["fits"] else 0


def _prediction(output: Path, gpu: str, device: str, force: bool) -> Predicting:
    from memprof.api import predict as begin

    return begin(output, device=device, gpu=gpu, force=force)


def _run(program: Program, prediction: Any) -> int | None:
    """Runs the program to its end; the exit code if it failed."""
    with redirect_stdout(sys.stderr):
        try:
            with prediction:
                program.execute()
        except SystemExit as ended:
            return _code(ended)
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

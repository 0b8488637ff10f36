"""``memprof replay``: recorded requests played through a model of PyTorch's allocator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memprof.cli.options import AsJson, Color, Debug, Force, Output, Quiet
from memprof.cli.output import LIMIT_EXCEEDED, Destination, emit
from memprof.errors import UsageError

if TYPE_CHECKING:
    from memprof.predict.replay import Question

#: What a trace begins with: JSON, or what gzip or zstd make of it.
_TRACES = (b"{", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A memory snapshot of PyTorch (a pickle, or memory_viz's page), or a trace.",
    ),
]
Settings = Annotated[
    str | None,
    typer.Option(
        metavar="NAME:VALUE,…",
        help="What if PYTORCH_CUDA_ALLOC_CONF had been this: expandable_segments:True, …",
    ),
]
Capacity = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="What if the device had this much, such as 24GiB."),
]
Gpu = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What if it had been this device, such as h100-80gb."),
]
Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Which device's memory: cuda:1; else the busiest."),
]
Points = Annotated[
    int, typer.Option(metavar="N", min=0, help="Points of the series in JSON; 0 for every event.")
]


def replay(
    file: Source,
    settings: Settings = None,
    capacity: Capacity = None,
    gpu: Gpu = None,
    device: Device = None,
    points: Points = 1000,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    color: Color = None,
    debug: Debug = False,
) -> int:
    """Replay allocations exactly, and under other settings or capacities."""
    del debug
    destination = Destination(as_json, output, force, quiet, color)
    destination.check()
    question = _question(settings, capacity, gpu, points)
    document = {"source": str(file), **_answer(file, device, question)}

    from memprof.cli.render.replay import replay_text

    emit(document, replay_text(document, quiet=quiet), destination)
    asked = document["what_if"][-1:] if settings else document["what_if"][:1]
    exceeded = any(scenario["out_of_memory"] for scenario in asked)
    return LIMIT_EXCEEDED if exceeded and (capacity or gpu) else 0


def _question(settings: str | None, capacity: str | None, gpu: str | None, points: int) -> Question:
    from memprof.estimate.hardware import hardware
    from memprof.predict.allocator import parse_settings
    from memprof.predict.replay import Question
    from memprof.units import parse_bytes

    if capacity is not None and gpu is not None:
        raise UsageError("--capacity and --gpu both say how much memory there is: give one")
    nbytes = hardware(gpu).holds if gpu is not None else capacity and parse_bytes(capacity)
    if nbytes == 0:
        raise UsageError("--capacity must be more than nothing")
    return Question(None if settings is None else parse_settings(settings), nbytes or None, points)


def _answer(file: Path, device: str | None, question: Question) -> dict[str, Any]:
    if _is_trace(file):
        return _trace_answer(file, device, question)
    from memprof.interop.torch_snapshot import read_snapshot
    from memprof.predict.replay import recording_answer

    recordings = {f"cuda:{found.device}": found for found in read_snapshot(file)}
    busiest = sorted(recordings, key=lambda name: len(recordings[name].events), reverse=True)
    chosen = _choose(device, busiest, file)
    return {
        "kind": "snapshot",
        "complete": True,
        "devices": list(recordings),
        "measured_reserved_peak": None,
        **recording_answer(recordings[chosen], question),
    }


def _trace_answer(file: Path, device: str | None, question: Question) -> dict[str, Any]:
    from memprof.predict.replay import measured_reserved_peak, requests_answer, requests_of
    from memprof.trace import load

    trace = load(file)
    devices = sorted(trace.devices, key=lambda name: not name.startswith("cuda"))
    chosen = _choose(device, devices, file)
    answer = requests_answer(requests_of(trace, chosen), chosen, question)
    return {
        "kind": "trace",
        "complete": trace.complete,
        "devices": list(trace.devices),
        "measured_reserved_peak": measured_reserved_peak(trace, chosen),
        **answer,
    }


def _is_trace(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(4).lstrip().startswith(_TRACES)
    except OSError:
        return False


def _choose(device: str | None, devices: list[str], file: Path) -> str:
    if not devices:
        raise UsageError(f"{file}: no device holds any memory in it: there is nothing to replay")
    if device is None:
        return devices[0]
    if device not in devices:
        raise UsageError(f"--device {device}: {file} has {', '.join(sorted(devices))}")
    return device

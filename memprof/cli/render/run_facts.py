"""What a trace says of its own recording: the program, how it ended, what was not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render.parts import heading, headline, indented, plural, size
from memprof.cli.render.self_check import self_check_lines

Data = Mapping[str, Any]


def run_line(document: Data) -> Text:
    """The first line of an answer: program, steps, devices, torch, recorder."""
    trace, devices = document["trace"], document["devices"]
    rank = trace.get("rank")
    steps = trace.get("steps")
    torch = trace.get("torch")
    return headline(
        [
            program_name(trace.get("program")) or str(trace.get("source", "")),
            "" if rank is None else f"rank {rank}",
            plural(steps, "step") if steps else "",
            *(device_name(name, about) for name, about in devices.items()),
            f"torch {torch}" if torch else "",
            f"{trace['recorder']} recorder" if trace.get("recorder") else "",
        ]
    )


def program_name(program: object) -> str:
    """The program's file name, without its folder and arguments."""
    if not isinstance(program, list) or not program:
        return ""
    name = PurePath(str(program[0]))
    return f"{name.parent.name}" if name.name == "__main__.py" else name.name


def device_name(name: str, about: Data) -> str:
    """A device as people call it: ``cuda:0 NVIDIA H200``, ``cpu host memory``."""
    return f"{name} {about.get('name') or ''}".rstrip()


def early_end(document: Data) -> Iterator[RenderableType]:
    """Says so if the trace has no end."""
    if document["complete"]:
        return
    reached = document["trace"].get("seconds")
    until = "" if reached is None else f" It reaches {reached:.3f} s."
    text = f"This trace ends early: the program was killed, or it is still running.{until}"
    yield Text(text, "bold yellow")


def remarks(document: Data) -> Iterator[RenderableType]:
    """What the recorder had to say about its own work."""
    checked = self_check_lines(document.get("self_check"))
    lines = [*checked, *_own_effect(document), *map(_remark, document["warnings"])]
    if lines:
        yield heading("Remarks on the recording")
        yield from map(indented, lines)


def _own_effect(document: Data) -> Iterator[str]:
    sums = document.get("observer", {})
    if sums.get("count"):
        yield (
            f"Under the dispatch hook PyTorch adds up gradients out of place: at most "
            f"{plural(sums['count'], 'sum')} allocated {size(sums['bytes'])} that an untraced run "
            f"does not, {size(sums['largest'])} at a time."
        )


def _remark(remark: Data) -> str:
    times = f" ({remark['count']:,} times)" if remark["count"] > 1 else ""
    return f"{remark['text']}{times}"

"""What a trace file holds, as text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render.driver import driver_line
from memprof.cli.render.parts import next_command, plural, size
from memprof.cli.render.run_facts import device_name, remarks
from memprof.cli.render.table import Column, Table

Data = Mapping[str, Any]


def info_text(document: Data, *, quiet: bool = False) -> Iterator[RenderableType]:
    """Renders the document of `memprof info`."""
    yield Text(document["source"], "bold")
    rows = [(Text(name, "dim"), text) for name, text in _rows(document)]
    yield Table((Column(""), Column("", "wrap")), rows)
    yield from remarks(document)
    if not quiet:
        yield next_command(f"memprof report {document['source']}")


def _rows(document: Data) -> Iterator[tuple[str, str]]:
    header = document["header"]
    yield from _header_rows(header)
    for name, about in header.get("devices", {}).items():
        total = about.get("total_bytes")
        yield "device", device_name(name, about) + (f", {size(total)}" if total else "")
    for device in document["nvml"]["devices"]:
        yield "nvml", driver_line(device)
    if document["nvml"]["reason"]:
        yield "nvml", f"none: {document['nvml']['reason']}"
    yield "holds", ", ".join(_counts(document["counts"]))
    yield "ends", "properly" if document["complete"] else "early: killed, or still running"


def _header_rows(header: Data) -> Iterator[tuple[str, str]]:
    yield "program", shlex.join(str(word) for word in header.get("program", ()))
    started = header.get("started_ns")
    if started is not None:
        yield (
            "started",
            datetime.fromtimestamp(started / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        )
    rank = header.get("rank")
    yield "process", f"{header.get('pid')}" + ("" if rank is None else f", rank {rank}")
    yield "recorder", f"{header.get('recorder')} ({header.get('recorder_reason')})"
    versions = [f"{name} {header.get(name)}" for name in ("memprof", "torch", "python")]
    yield "software", ", ".join(versions)


def _counts(counts: Mapping[str, int]) -> Iterator[str]:
    for noun in ("events", "allocations", "labels", "phases", "steps", "samples", "facts"):
        if counts[noun] or noun == "events":
            yield plural(counts[noun], noun.removesuffix("s"))

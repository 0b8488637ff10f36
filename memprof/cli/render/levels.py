"""From what tensors asked for to what the driver shows, with every gap named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.analyze.waterfall import GAP_TEXTS, LEVEL_TEXTS
from memprof.cli.render.parts import heading, indented, size
from memprof.cli.render.table import Column, Row, Table

_COLUMNS = (Column("", "number"), Column("", "wrap"))


def levels(device: Mapping[str, Any], name: str) -> Iterator[RenderableType]:
    """The levels of bytes at the peak; nothing where only one level is known."""
    found = device["waterfall"]
    known = [level for level in LEVEL_TEXTS if found[level] is not None]
    if len(known) < 2:
        return
    yield heading("From tensors to " + ("the process" if name == "cpu" else "nvidia-smi"))
    total = f" of {size(device['total_bytes'])}" if device.get("total_bytes") else ""
    if known == ["requested", "process"]:
        yield indented(_sentence(found) + total)
    else:
        rows = [*_rows(found, known)]
        rows[-1] = (rows[-1][0], Text.assemble(rows[-1][1], total))
        yield Table(_COLUMNS, rows)


def _rows(found: Mapping[str, Any], known: list[str]) -> Iterator[Row]:
    for level in known:
        for gap in found["gaps"]:
            if gap["upper"] == level:
                yield Text(size(gap["bytes"], sign=True), "dim"), f"  {GAP_TEXTS[gap['name']]}"
        yield size(found[level]), Text(LEVEL_TEXTS[level], "bold")


def _sentence(found: Mapping[str, Any]) -> str:
    gaps = "".join(f"{GAP_TEXTS[gap['name']]} {size(abs(gap['bytes']))} " for gap in found["gaps"])
    return f"requested {size(found['requested'])} ─ {gaps}→ this process {size(found['process'])}"

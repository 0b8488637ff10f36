"""Measured against estimated, category by category, with the reason of every difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render.parts import UNKNOWN, category, next_command, size
from memprof.cli.render.run_facts import early_end, run_line
from memprof.cli.render.table import Column, Table

Data = Mapping[str, Any]
_COLUMNS = (
    Column("category"),
    Column("measured", "number"),
    Column("estimated", "number"),
    Column("error", "number"),
    Column("in %", "number"),
    Column("why", "wrap"),
)


def compare_text(document: Data, *, source: str, quiet: bool = False) -> Iterator[RenderableType]:
    """Renders what `compare_document` says."""
    yield run_line(document)
    yield from early_end(document)
    for name, device in document["devices"].items():
        yield Text(f"\nHighest level of each category on {name}, measured and estimated\n", "bold")
        yield _comparison(device["categories"])
    if not document["devices"]:
        yield Text("\nNothing was recorded, so there is nothing to compare.")
    if not quiet:
        yield next_command(f"memprof view {source}")


def _comparison(categories: Mapping[str, Data]) -> Table:
    rows = [
        (category(name), *_numbers(row), row["explanation"])
        for name, row in categories.items()
        if row["measured_bytes"] or row["estimated_bytes"] or name == "unattributed"
    ]
    return Table(_COLUMNS, rows)


def _numbers(row: Data) -> tuple[str, str, str, str]:
    percent = row["error_percent"]
    return (
        size(row["measured_bytes"]),
        size(row["estimated_bytes"]),
        UNKNOWN if row["error_bytes"] is None else size(row["error_bytes"], sign=True),
        UNKNOWN if percent is None else f"{percent:+.1f}" if percent else "0",
    )

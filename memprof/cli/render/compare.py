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
_PREDICTION_COLUMNS = (Column("predicted", "number"), Column("error", "number"))


def compare_text(document: Data, *, source: str, quiet: bool = False) -> Iterator[RenderableType]:
    """Renders what `compare_document` says."""
    yield run_line(document)
    yield from early_end(document)
    for name, device in document["devices"].items():
        ways = "measured, predicted and" if _is_predicted(device["categories"]) else "measured and"
        yield Text(f"\nHighest level of each category on {name}, {ways} estimated\n", "bold")
        yield _comparison(device["categories"])
    if not document["devices"]:
        yield Text("\nNothing was recorded, so there is nothing to compare.")
    if not quiet:
        yield next_command(f"memprof view {source}")


def _comparison(categories: Mapping[str, Data]) -> Table:
    if _is_predicted(categories):
        return _with_prediction(categories)
    rows = [
        (category(name), *_numbers(row), row["explanation"])
        for name, row in categories.items()
        if row["measured_bytes"] or row["estimated_bytes"] or name == "unattributed"
    ]
    return Table(_COLUMNS, rows)


def _is_predicted(categories: Mapping[str, Data]) -> bool:
    return any("predicted_bytes" in row for row in categories.values())


def _with_prediction(categories: Mapping[str, Data]) -> Table:
    rows = [
        (category(name), measured, *_prediction(row), *estimated, row["explanation"])
        for name, row in categories.items()
        for measured, *estimated in [_numbers(row)]
        if row["measured_bytes"] or row["predicted_bytes"] or row["estimated_bytes"]
    ]
    return Table((*_COLUMNS[:2], *_PREDICTION_COLUMNS, *_COLUMNS[2:]), rows)


def _prediction(row: Data) -> tuple[str, str]:
    predicted, error = row["predicted_bytes"], row["prediction_error_bytes"]
    if predicted is None:
        return UNKNOWN, UNKNOWN
    return size(predicted), size(error, sign=True)


def _numbers(row: Data) -> tuple[str, str, str, str]:
    percent = row["error_percent"]
    return (
        size(row["measured_bytes"]),
        size(row["estimated_bytes"]),
        UNKNOWN if row["error_bytes"] is None else size(row["error_bytes"], sign=True),
        UNKNOWN if percent is None else f"{percent:+.1f}" if percent else "0",
    )

"""Every view as a table of plain values, for CSV files and for what reads them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

from memprof.analyze.analysis import Analysis
from memprof.analyze.compare import compare
from memprof.analyze.findings import findings
from memprof.analyze.leaks import leaks
from memprof.analyze.live import LiveTensor
from memprof.analyze.steps import StepRow, step_table
from memprof.trace import CATEGORIES

#: Points of the timeline, at the most twice as many.
BUCKETS = 5_000


class Table(NamedTuple):
    """Names of columns and rows of values."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


def tables(analysis: Analysis) -> dict[str, Table]:
    """The views by name; each row begins with its device. Bytes are whole numbers.

    "timeline" has every event of a short trace and every peak of a long one, "tensors" what is
    alive at each device's peak.
    """
    return {
        "timeline": Table(("device", "event", "seconds", "total", *CATEGORIES), _points(analysis)),
        "tensors": Table(("device", *_columns(LiveTensor)), _tensors(analysis)),
        "steps": Table(("device", *_columns(StepRow)), _steps(analysis)),
        "leaks": Table(("device", "place", "bytes", "bytes_per_step"), _leaks(analysis)),
        "compare": Table(_COMPARED, _compared(analysis)),
        "findings": Table(("device", "kind", "bytes", "event", "text", "fix"), _found(analysis)),
    }


def write_tables(analysis: Analysis, folder: Path) -> list[Path]:
    """Writes each table as a CSV file into a folder, which is made; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in tables(analysis).items():
        path = folder / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(table.columns)
            writer.writerows(map(_cells, table.rows))
        written.append(path)
    return written


def _cells(row: Sequence[Any]) -> list[Any]:
    """Values for a spreadsheet, which must not take a name for a formula."""
    return [
        f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell
        for cell in row
    ]


def _columns(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]


def _points(analysis: Analysis) -> Iterable[Sequence[Any]]:
    for name in analysis.devices:
        line = analysis.device(name).downsample(buckets=BUCKETS)
        columns = [line.event, line.seconds, line.total, *line.by_category]
        for row in zip(*(column.tolist() for column in columns), strict=True):
            yield (name, *row)


def _tensors(analysis: Analysis) -> Iterable[Sequence[Any]]:
    for name in analysis.devices:
        for tensor in analysis.device(name).peak.live().rows():
            known = asdict(tensor)
            yield (name, *{**known, "stack": " < ".join(tensor.stack)}.values())


def _steps(analysis: Analysis) -> Iterable[Sequence[Any]]:
    for name in analysis.devices:
        for row in step_table(analysis.device(name)):
            yield (name, *asdict(row).values())


def _leaks(analysis: Analysis) -> Iterable[Sequence[Any]]:
    for name in analysis.devices:
        for leak in leaks(analysis.device(name)):
            yield name, leak.place, leak.bytes, leak.bytes_per_step


_COMPARED = ("device", "category", "measured_bytes", "estimated_bytes", "error_bytes", "why")


def _compared(analysis: Analysis) -> Iterable[Sequence[Any]]:
    for row in compare(analysis):
        measured = (row.measured_bytes, row.estimated_bytes, row.error_bytes)
        yield (row.device, row.category, *measured, row.explanation)


def _found(analysis: Analysis) -> Iterable[Sequence[Any]]:
    for each in findings(analysis):
        yield each.device, each.kind, each.bytes, each.event, each.text, each.fix

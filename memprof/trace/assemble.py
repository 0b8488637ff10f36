"""Joins the chunks of a trace into one `Trace`, checking every reference between tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from memprof.errors import TraceFileError
from memprof.trace import document
from memprof.trace.checks import Columns, DamageError, check_bytes, check_range, check_times
from memprof.trace.document import Fact, Phases, Remark, Trace
from memprof.trace.lifetimes import known_rows, lifetimes, sorted_by_id
from memprof.trace.schema import LABELS, TABLES

Simple = TypeVar(
    "Simple",
    document.Labels,
    document.Details,
    document.Views,
    document.Streams,
    document.Sequences,
    document.Workspaces,
    document.Samples,
)

_TEXT_COLUMNS = frozenset({"op", "module", "device", "name", "tensor", "stack", "series"})
_TIME_COLUMNS = frozenset({"time_ns", "begin_ns", "end_ns"})
_MOST_THREADS = 4096


@dataclass
class Parts:
    """What has been read so far."""

    source: str
    header: Mapping[str, Any]
    summary: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    dropped_lines: int = 0
    strings: list[str] = field(default_factory=lambda: [""])
    facts: list[Fact] = field(default_factory=list)
    warnings: dict[str, Remark] = field(default_factory=dict)
    tables: dict[str, list[Columns]] = field(default_factory=lambda: {name: [] for name in TABLES})

    def damaged(self, line: int, why: str) -> TraceFileError:
        """The error for a line that cannot have been written by memprof."""
        return TraceFileError(f"{self.source}: damaged at line {line}: {why}")


def assemble(parts: Parts) -> Trace:
    """Builds the trace.

    Raises:
        TraceFileError: where one table contradicts another.
    """
    try:
        return _assembled(parts)
    except DamageError as damage:
        raise TraceFileError(f"{parts.source}: damaged: {damage}") from None


def _assembled(parts: Parts) -> Trace:
    tables = {name: _joined(parts, name) for name in TABLES}
    phases = _phases(tables["phases"])
    if not parts.complete:
        _forget_what_is_lost(tables, len(phases))
    rows = sorted_by_id(tables["allocations"])
    allocations, events = lifetimes(rows, tables["events"])
    labels, details, views, streams = (
        known_rows(tables[name], rows["id"]) for name in ("labels", "details", "views", "streams")
    )
    _check_references(tables, len(phases))
    return Trace(
        source=parts.source,
        header=_header(parts),
        summary=parts.summary,
        complete=parts.complete,
        dropped_lines=parts.dropped_lines,
        strings=tuple(parts.strings),
        allocations=allocations,
        events=events,
        labels=_simple(document.Labels, labels),
        details=_simple(document.Details, details),
        views=_simple(document.Views, views),
        streams=_simple(document.Streams, streams),
        sequences=_simple(document.Sequences, tables["sequences"]),
        phases=phases,
        steps=_steps(tables["steps"]),
        workspaces=_simple(document.Workspaces, tables["workspaces"]),
        samples=_simple(document.Samples, tables["samples"]),
        facts=tuple(parts.facts),
        warnings=tuple(parts.warnings.values()),
    )


def _header(parts: Parts) -> Mapping[str, Any]:
    """The header with the devices that came into use only during the recording."""
    devices = dict(parts.header.get("devices") or {})
    for fact in parts.facts:
        if fact.kind == "devices":
            devices.update(fact.value)
    return {**parts.header, "devices": devices}


def _joined(parts: Parts, name: str) -> Columns:
    chunks = parts.tables[name]
    joined = {
        column: np.concatenate([chunk.pop(column) for chunk in chunks], dtype=np.int64)
        if chunks
        else np.empty(0, np.int64)
        for column in TABLES[name]
    }
    for column in joined.keys() & _TEXT_COLUMNS:
        check_range(f"{name}.{column}", joined[column], len(parts.strings))
    for column in joined.keys() & _TIME_COLUMNS:
        check_times(f"{name}.{column}", joined[column])
    return joined


def _simple(kind: type[Simple], columns: Columns) -> Simple:
    return kind(**{column.name: columns[column.name] for column in fields(kind)})


def _check_references(tables: dict[str, Columns], phases: int) -> None:
    check_range("an allocation's phase", tables["allocations"]["phase"], phases)
    check_range("a workspace's phase", tables["workspaces"]["phase"], phases)
    check_range("a label's kind", tables["labels"]["kind"], len(LABELS))
    check_bytes("a workspace's size", tables["workspaces"]["nbytes"])
    check_bytes("what views cover", tables["views"]["covered"])


def _forget_what_is_lost(tables: dict[str, Columns], phases: int) -> None:
    """Makes up for rows that a killed program could no longer write.

    Allocations without the event of their birth go, and phases not heard of become phase 0.
    """
    rows = tables["allocations"]
    born = np.isin(rows["id"], tables["events"]["subject"])
    tables["allocations"] = {column: values[born] for column, values in rows.items()}
    for name in ("allocations", "workspaces"):
        phase = tables[name]["phase"]
        tables[name]["phase"] = np.where(phase < phases, phase, 0)


def _steps(rows: Columns) -> document.Steps:
    counts = rows["declared"] >= (rows["declared"] == 1).any()
    return document.Steps(np.sort(rows["begin_ns"][counts]))


def _phases(rows: Columns) -> Phases:
    """Lays phases out by number; the last row of a number counts, phase 0 is always there."""
    count = int(rows["id"].max(initial=0)) + 1
    if rows["id"].min(initial=1) < 1 or count > len(rows["id"]) + _MOST_THREADS:
        raise DamageError("a phase's number is impossible")
    blank = {"name": 0, "parent": 0, "thread": 0, "begin_ns": 0, "end_ns": -1}
    laid = {}
    for column in (c.name for c in fields(Phases)):
        laid[column] = np.full(count, blank.get(column, -1), np.int64)
        laid[column][rows["id"]] = rows[column]
    check_range("a phase's parent", laid["parent"], count)
    return Phases(**laid)

"""Joins the chunks of a trace into one `Trace`, checking every reference between tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from memprof.errors import TraceFileError
from memprof.trace import document
from memprof.trace.document import Allocations, Events, Fact, Ints, Phases, Trace, Remark
from memprof.trace.schema import LABELS, ORIGINS, TABLES

Columns = dict[str, Ints]
Simple = TypeVar(
    "Simple",
    document.Labels,
    document.Details,
    document.Sequences,
    document.Workspaces,
    document.Samples,
)

MAX_PHASES = 1 << 24
_TEXT_COLUMNS = frozenset({"op", "module", "device", "name", "tensor", "stack", "series"})


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
    """Builds the trace. Raises TraceFileError where one table contradicts another."""
    tables = {name: _joined(parts, name) for name in TABLES}
    _drop_unborn(parts, tables)
    allocations, events = _lifetimes(parts, tables["allocations"], tables["events"])
    phases = _phases(parts, tables["phases"])
    _check_range(parts, "phase", allocations.phase, len(phases))
    _check_range(parts, "phase", tables["workspaces"]["phase"], len(phases))
    _check_range(parts, "label", tables["labels"]["kind"], len(LABELS))
    ids = np.sort(tables["allocations"]["id"])
    for name in ("labels", "details"):
        _keep_known(tables[name], ids)
    return Trace(
        source=parts.source,
        header=parts.header,
        summary=parts.summary,
        complete=parts.complete,
        dropped_lines=parts.dropped_lines,
        strings=tuple(parts.strings),
        allocations=allocations,
        events=events,
        labels=_simple(document.Labels, tables["labels"]),
        details=_simple(document.Details, tables["details"]),
        sequences=_simple(document.Sequences, tables["sequences"]),
        phases=phases,
        steps=_steps(tables["steps"]),
        workspaces=_simple(document.Workspaces, tables["workspaces"]),
        samples=_simple(document.Samples, tables["samples"]),
        facts=tuple(parts.facts),
        warnings=tuple(parts.warnings.values()),
    )


def _joined(parts: Parts, name: str) -> Columns:
    chunks = parts.tables[name]
    joined = {
        column: np.concatenate([chunk[column] for chunk in chunks])
        if chunks
        else np.empty(0, np.int64)
        for column in TABLES[name]
    }
    for column in joined.keys() & _TEXT_COLUMNS:
        _check_range(parts, f"{name}.{column}", joined[column], len(parts.strings))
    return joined


def _simple(kind: type[Simple], columns: Columns) -> Simple:
    return kind(**{column.name: columns[column.name] for column in fields(kind)})


def _check_range(parts: Parts, what: str, values: Ints, limit: int) -> None:
    if len(values) and (values.min() < 0 or values.max() >= limit):
        raise TraceFileError(f"{parts.source}: damaged: {what} refers to nothing")


def _keep_known(columns: Columns, ids: Ints) -> None:
    """Turns ids into indices and drops rows about allocations lost with the file's end."""
    place = np.searchsorted(ids, columns["allocation"])
    known = place < len(ids)
    known[known] = ids[place[known]] == columns["allocation"][known]
    columns["allocation"] = place
    for column, values in columns.items():
        columns[column] = values[known]


def _drop_unborn(parts: Parts, tables: dict[str, Columns]) -> None:
    """Where a file ends between the allocations and their events, drops those allocations."""
    if parts.complete:
        return
    rows = tables["allocations"]
    born = np.isin(rows["id"], tables["events"]["subject"])
    tables["allocations"] = {column: values[born] for column, values in rows.items()}


def _lifetimes(parts: Parts, rows: Columns, events: Columns) -> tuple[Allocations, Events]:
    order = np.argsort(rows["id"], kind="stable")
    rows = {column: values[order] for column, values in rows.items()}
    ids = rows["id"]
    if len(ids) > 1 and (np.diff(ids) == 0).any():
        raise TraceFileError(f"{parts.source}: damaged: an allocation appears twice")
    if len(ids) and (rows["nbytes"].min() < 0 or rows["nbytes"].max() > 1 << 50):
        raise TraceFileError(f"{parts.source}: damaged: an allocation's size is impossible")
    _check_range(parts, "origin", rows["origin"], len(ORIGINS))
    freed = events["subject"] < 0
    subject = np.where(freed, ~events["subject"], events["subject"])
    index = np.searchsorted(ids, subject)
    if len(subject) and (not len(ids) or (ids[np.minimum(index, len(ids) - 1)] != subject).any()):
        raise TraceFileError(f"{parts.source}: damaged: an event refers to no allocation")
    birth = _moments(parts, index, ~freed, len(ids), -1)
    death = _moments(parts, index, freed, len(ids), len(subject))
    if (birth < 0).any() or (death <= birth).any():
        raise TraceFileError(f"{parts.source}: damaged: an allocation dies before its birth")
    previous = _previous(ids, rows["previous"])
    kept = ("nbytes", "op", "module", "phase", "sequence", "device", "origin")
    allocations = Allocations(
        **{column: rows[column] for column in kept}, previous=previous, birth=birth, death=death
    )
    return allocations, Events(np.maximum.accumulate(events["time_ns"]), index, freed)


def _moments(
    parts: Parts, index: Ints, chosen: np.ndarray[Any, np.dtype[np.bool_]], count: int, default: int
) -> Ints:
    moments = np.full(count, default, np.int64)
    places = np.flatnonzero(chosen)
    moments[index[places]] = places
    if len(np.unique(index[places])) != len(places):
        raise TraceFileError(f"{parts.source}: damaged: an allocation is born or dies twice")
    return moments


def _previous(ids: Ints, previous: Ints) -> Ints:
    if not len(ids):
        return previous
    place = np.minimum(np.searchsorted(ids, previous), len(ids) - 1)
    return np.where(ids[place] == previous, place, -1)


def _steps(rows: Columns) -> document.Steps:
    counts = rows["declared"] >= (rows["declared"] == 1).any()
    return document.Steps(np.sort(rows["begin_ns"][counts]))


def _phases(parts: Parts, rows: Columns) -> Phases:
    """Lays phases out by number; the last row of a number counts, phase 0 is always there."""
    if len(rows["id"]) and (rows["id"].min() < 0 or rows["id"].max() >= MAX_PHASES):
        raise TraceFileError(f"{parts.source}: damaged: impossible phase number")
    count = int(rows["id"].max(initial=0)) + 1
    blank = {"name": 0, "parent": 0, "thread": 0, "begin_ns": 0, "end_ns": -1}
    laid = {}
    for column in (c.name for c in fields(Phases)):
        laid[column] = np.full(count, blank.get(column, -1), np.int64)
        laid[column][rows["id"]] = rows[column]
    _check_range(parts, "phase", laid["parent"], count)
    return Phases(**laid)

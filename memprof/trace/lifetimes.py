"""Pairs births with deaths: from rows with ids to arrays that refer to each other by place."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from memprof.trace.checks import Columns, DamageError, check_bytes, check_range
from memprof.trace.document import Allocations, Events, Ints
from memprof.trace.schema import ORIGINS

Flags = npt.NDArray[np.bool_]
_KEPT = ("nbytes", "op", "module", "phase", "sequence", "device", "origin")


def lifetimes(rows: Columns, events: Columns) -> tuple[Allocations, Events]:
    """Joins the tables "allocations", sorted by id, and "events".

    Raises:
        DamageError: unless each allocation is born once, and dies at most once and later.
    """
    ids = rows["id"]
    if (ids[1:] == ids[:-1]).any():
        raise DamageError("an allocation appears twice")
    check_bytes("an allocation's size", rows["nbytes"])
    check_range("origin", rows["origin"], len(ORIGINS))
    freed = events["subject"] < 0
    index = _places(ids, np.where(freed, ~events["subject"], events["subject"]))
    birth = _moments(index, ~freed, len(ids), -1)
    death = _moments(index, freed, len(ids), len(index))
    if (birth < 0).any():
        raise DamageError("an allocation was never born")
    if (death <= birth).any():
        raise DamageError("an allocation dies before its birth")
    previous = _previous(ids, rows["previous"])
    columns = {column: rows[column] for column in _KEPT}
    allocations = Allocations(**columns, previous=previous, birth=birth, death=death)
    return allocations, Events(np.maximum.accumulate(events["time_ns"]), index, freed)


def sorted_by_id(rows: Columns) -> Columns:
    """Sorts rows by their ids; recorders mostly write them that way."""
    ids = rows["id"]
    if (ids[1:] >= ids[:-1]).all():
        return rows
    order = np.argsort(ids, kind="stable")
    return {column: values[order] for column, values in rows.items()}


def known_rows(columns: Columns, ids: Ints) -> Columns:
    """Turns ids into places and drops rows about allocations lost with the file's end."""
    place, known = find(ids, columns["allocation"])
    columns = {**columns, "allocation": place}
    if known.all():
        return columns
    return {column: values[known] for column, values in columns.items()}


def find(ids: Ints, wanted: Ints) -> tuple[Ints, Flags]:
    """Finds `wanted` in the sorted `ids`; returns the places, and which of them hold."""
    if not len(ids):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    if ids[-1] - ids[0] == len(ids) - 1:
        place = wanted - ids[0]
        known = (wanted >= ids[0]) & (wanted <= ids[-1])
    else:
        place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
        known = ids[place] == wanted
    return place, known


def _places(ids: Ints, subjects: Ints) -> Ints:
    places, known = find(ids, subjects)
    if not known.all():
        raise DamageError("an event refers to no allocation")
    return places


def _moments(index: Ints, chosen: Flags, count: int, default: int) -> Ints:
    """For each of `count` allocations the place of its one chosen event."""
    moments = np.full(count, default, np.int64)
    places = np.flatnonzero(chosen)
    moments[index[places]] = places
    if (moments[index[places]] != places).any():
        raise DamageError("an allocation is born or dies twice")
    return moments


def _previous(ids: Ints, previous: Ints) -> Ints:
    place, known = find(ids, previous)
    own: npt.NDArray[Any] = np.arange(len(ids))
    if (place[known] >= own[known]).any():
        raise DamageError("an allocation continues a later one")
    return np.where(known, place, -1)

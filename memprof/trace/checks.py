"""What the reader refuses: numbers that no recorder can have written."""

from __future__ import annotations

from typing import Final

from memprof.trace.document import Ints

Columns = dict[str, Ints]

MAX_BYTES: Final = 1 << 50
MAX_TIME: Final = 1 << 61


class DamageError(ValueError):
    """A table contradicts itself or another one; the text says how."""


def check_range(what: str, values: Ints, limit: int) -> None:
    """Refuses numbers that are no places in a table of `limit` entries."""
    if len(values) and (values.min() < 0 or values.max() >= limit):
        raise DamageError(f"{what} refers to nothing")


def check_bytes(what: str, values: Ints) -> None:
    """Refuses numbers of bytes that no machine has."""
    if len(values) and (values.min() < 0 or values.max() > MAX_BYTES):
        raise DamageError(f"{what} is impossible")


def check_times(what: str, values: Ints) -> None:
    """Refuses times so far from zero that differences of two would not fit into 64 bits."""
    if len(values) and (values.min() < -MAX_TIME or values.max() > MAX_TIME):
        raise DamageError(f"{what} is impossible")

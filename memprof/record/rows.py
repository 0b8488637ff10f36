"""Rows of facts waiting to be written, and the strings that they refer to by number."""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt

from memprof.trace.schema import TABLES


class Rows:
    """Pending rows of one table: any thread appends, the journal drains.

    `add` takes one whole row as a tuple, in the order of the table's columns. It is a method of
    `array`, which runs without giving up the interpreter lock, so rows never interleave.
    """

    __slots__ = ("_arrays", "_columns", "_pending", "add")

    def __init__(self, table: str) -> None:
        self._columns = tuple(TABLES[table])
        self._pending = array("q")
        self._arrays: list[npt.NDArray[np.int64]] = []
        self.add = self._pending.extend

    def __len__(self) -> int:
        return len(self._pending) // len(self._columns) + sum(map(len, self._arrays))

    def add_rows(self, rows: npt.NDArray[np.int64]) -> None:
        """Appends many rows at once, as they are: (rows, columns)."""
        self._arrays.append(rows)

    def drain(self) -> dict[str, npt.NDArray[np.int64]]:
        """Takes out the rows appended so far; returns their columns."""
        count = len(self._pending)
        taken = np.frombuffer(self._pending[:count], np.int64).reshape(-1, len(self._columns))
        del self._pending[:count]
        arrays, self._arrays = self._arrays, []
        rows = np.concatenate([taken, *arrays]) if arrays else taken
        return {column: rows[:, place] for place, column in enumerate(self._columns)}


class Strings:
    """Numbers texts in order of first use; the empty string is number 0."""

    __slots__ = ("_numbers", "_texts", "_written")

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}
        self._texts: list[str] = [""]
        self._written = 1

    def number(self, text: str) -> int:
        """Returns the number of `text`, giving it the next one if it is new."""
        known = self._numbers.get(text)
        if known is not None:
            return known
        return self._numbers.setdefault(text, self._append(text))

    def _append(self, text: str) -> int:
        # Two threads may append the same new text: both numbers stay valid, one is used.
        self._texts.append(text)
        count = len(self._texts)
        return next(n for n in range(count - 1, 0, -1) if self._texts[n] is text)

    def __getitem__(self, number: int) -> str:
        return self._texts[number]

    def drain(self) -> tuple[int, list[str]]:
        """Returns the first unwritten number and the texts from there on."""
        first, self._written = self._written, len(self._texts)
        return first, self._texts[first : self._written]

"""Turns what the observer noted into the rows of the trace: its texts get the journal's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from memprof.record.guard import Guard
from memprof.record.journal import Journal
from memprof.record.stacks import Stacks
from memprof.trace.schema import TABLES

Ints = npt.NDArray[np.int64]

_TABLES: Final = ("allocations", "events", "labels", "details", "sequences", "streams")

#: Columns that hold numbers of the observer's own texts.
_TEXTS: Final = {"allocations": ("op", "device"), "details": ("tensor", "stack")}

#: PyTorch's C++ names of element types, where they are not Python's in capitals.
_ELEMENTS: Final = {
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Half": "float16",
    "Float": "float32",
    "Double": "float64",
    "ComplexHalf": "complex32",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}


class NativeRows:
    """Carries rows from the observer to the journal's tables."""

    def __init__(self, native: Any, journal: Journal, stacks: Stacks, guard: Guard) -> None:
        self._native = native
        self.carry = guard(self._carry)
        self._journal = journal
        self._number = journal.strings.number
        self._numbers = [0]
        self._worded: tuple[Callable[[str], str], ...] = (str, tensor_text, stacks.cleaned)

    def waiting(self) -> int:
        """Reads the threads' buffers, so that they can be used again; without the interpreter."""
        return int(self._native.drain())

    def _carry(self) -> None:
        *tables, texts = self._native.take()
        for kind, text in texts:
            self._numbers.append(self._number(self._worded[kind](text)))
        numbers = np.array(self._numbers, np.int64)
        for name, raw in zip(_TABLES, tables, strict=True):
            if raw:
                rows = np.frombuffer(raw, np.int64).reshape(-1, len(TABLES[name]))
                rows = rows.copy() if name in _TEXTS else rows
                for column in _TEXTS.get(name, ()):
                    place = list(TABLES[name]).index(column)
                    rows[:, place] = numbers[rows[:, place]]
                self._journal.tables[name].add_rows(rows)


def tensor_text(text: str) -> str:
    """As people know it: "Float[2, 3]" becomes "float32[2, 3]"."""
    kind, bracket, shape = text.partition("[")
    return _ELEMENTS.get(kind, kind.lower()) + bracket + shape

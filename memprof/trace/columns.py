"""One column of numbers as text: delta, byte shuffle, zlib, base64, each step named.

The steps are recorded in the column (``"x": "dsz"``), so a reader needs no other knowledge.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

DTYPES = ("<u1", "<i4", "<i8")
MAX_ROWS = 1 << 20


class ColumnError(ValueError):
    """A column's text does not decode to the numbers it announces."""


def encode(values: npt.NDArray[Any], dtype: str) -> dict[str, str]:
    """Encodes one column of `dtype`; the inverse of `decode`."""
    column = np.ascontiguousarray(values, dtype=dtype)
    steps = "sz"
    if column.dtype.kind == "i":
        column = np.diff(column, prepend=column.dtype.type(0))
        steps = "dsz"
    shuffled = column.view(np.uint8).reshape(len(column), column.dtype.itemsize).T
    packed = zlib.compress(shuffled.tobytes(), 1)
    return {"d": dtype, "x": steps, "b": base64.b64encode(packed).decode("ascii")}


def decode(column: object, rows: int) -> npt.NDArray[Any]:
    """Decodes one column of exactly `rows` numbers.

    Raises:
        ColumnError: on any text that `encode` could not have written, or that would unpack to
            more than `rows` numbers.
    """
    if not isinstance(column, dict) or not 0 <= rows <= MAX_ROWS:
        raise ColumnError("not a column")
    dtype, steps, text = column.get("d"), column.get("x"), column.get("b")
    if dtype not in DTYPES or steps not in ("sz", "dsz") or not isinstance(text, str):
        raise ColumnError(f"unknown encoding {dtype!r} {steps!r}")
    kind = np.dtype(dtype)
    expected = rows * kind.itemsize
    raw = _inflate(text, expected)
    shuffled = np.frombuffer(raw, np.uint8).reshape(kind.itemsize, rows)
    values = np.ascontiguousarray(shuffled.T).view(kind).reshape(rows)
    return np.cumsum(values, dtype=kind) if steps[0] == "d" else values


def _inflate(text: str, expected: int) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(text, validate=True), expected + 1)
    except (zlib.error, binascii.Error, ValueError) as error:
        raise ColumnError(str(error)) from None
    if len(raw) != expected or not unpacker.eof:
        raise ColumnError(f"not the {expected} bytes that were announced")
    return raw

"""Columns survive the way into text and back, and only what was written decodes."""

from __future__ import annotations

import base64
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from memprof.trace import columns
from memprof.trace.columns import ColumnError, decode, encode

RANGES = {"<u1": (0, 255), "<i4": (-(2**31), 2**31 - 1), "<i8": (-(2**63), 2**63 - 1)}


@st.composite
def written(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    dtype = draw(st.sampled_from(sorted(RANGES)))
    values = st.integers(*RANGES[dtype])
    return dtype, draw(arrays.arrays(np.dtype(dtype), st.integers(0, 300), elements=values))


@given(written())
@settings(max_examples=200, deadline=None)
def test_every_column_comes_back_as_it_was(column: tuple[str, np.ndarray]) -> None:
    dtype, values = column

    found = decode(encode(values, dtype), len(values))

    assert found.dtype == np.dtype(dtype)
    assert found.tolist() == values.tolist()


def test_the_steps_are_those_that_the_column_names() -> None:
    column = encode(np.array([5, 7, 6]), "<i4")

    raw = zlib.decompress(base64.b64decode(column["b"]))

    differences = [5, 2, -1]
    little_endian = np.array(differences, "<i4").tobytes()
    shuffled = bytes(little_endian[row * 4 + byte] for byte in range(4) for row in range(3))
    assert (column["d"], column["x"], raw) == ("<i4", "dsz", shuffled)


def good() -> dict[str, str]:
    return encode(np.arange(10), "<i8")


def packed(raw: bytes) -> dict[str, str]:
    return {"d": "<i8", "x": "dsz", "b": base64.b64encode(zlib.compress(raw)).decode()}


@pytest.mark.parametrize(
    ("column", "rows"),
    [
        (None, 0),
        ([1, 2], 2),
        ({}, 0),
        (good() | {"d": "|O"}, 10),
        (good() | {"d": "<f8"}, 10),
        (good() | {"d": ["<i8"]}, 10),
        (good() | {"x": "p"}, 10),
        (good() | {"x": None}, 10),
        (good() | {"b": 7}, 10),
        (good() | {"b": "not base64!"}, 10),
        (good() | {"b": "é"}, 10),
        (good() | {"b": good()["b"][:4] + "!" + good()["b"][4:]}, 10),
        (good() | {"b": base64.b64encode(b"not zlib").decode()}, 10),
        (good() | {"b": good()["b"][:-8]}, 10),
        (good(), 9),
        (good(), 11),
        (good(), -1),
        (good(), columns.MAX_ROWS + 1),
        (packed(bytes(79)), 10),
        (packed(b""), 1),
    ],
)
def test_what_encode_cannot_have_written_is_refused(column: object, rows: int) -> None:
    assert decode(good(), 10).tolist() == list(range(10))
    with pytest.raises(ColumnError):
        decode(column, rows)


def test_a_column_that_unpacks_to_far_more_than_it_says_is_not_unpacked() -> None:
    bomb = packed(bytes(1 << 26))

    tracemalloc.start()
    with pytest.raises(ColumnError):
        decode(bomb, 10)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert highest < 1 << 20

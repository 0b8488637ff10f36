"""Bytes as people read and write them."""

from __future__ import annotations

import pytest

from memprof.errors import UsageError
from memprof.units import format_bytes, format_gigabytes, parse_bytes


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (-1536, "-1.50 KiB"),
        (1048570, "1023.99 KiB"),
        (1048571, "1.00 MiB"),
        (1 << 30, "1.00 GiB"),
        (5 << 40, "5.00 TiB"),
        (1 << 60, "1024.00 PiB"),
    ],
)
def test_binary_units(nbytes: int, text: str) -> None:
    assert format_bytes(nbytes) == text


def test_signs() -> None:
    assert format_bytes(2048, sign=True) == "+2.00 KiB"
    assert format_bytes(-5, sign=True) == "-5 B"
    assert format_bytes(0, sign=True) == "0 B"


def test_decimal_gigabytes() -> None:
    assert format_gigabytes(42_949_672_960) == "42.95 GB"


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("2GiB", 2 * 1024**3),
        ("2 GB", 2 * 1000**3),
        ("512MB", 512_000_000),
        ("1.5 kib", 1536),
        (" .5 KiB ", 512),
        ("17", 17),
        ("17 b", 17),
        (17, 17),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_sizes_that_are_read(text: str | int, nbytes: int) -> None:
    assert parse_bytes(text) == nbytes


@pytest.mark.parametrize("text", ["", "GiB", "1 gigabyte", "-1", "1e9", "1,5 GiB", "nan", "1 B x"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size: write it like"):
        parse_bytes(text)


@pytest.mark.parametrize("power", range(0, 60, 7))
def test_what_is_written_can_be_read(power: int) -> None:
    nbytes = 3 << power
    assert abs(parse_bytes(format_bytes(nbytes)) - nbytes) <= nbytes * 0.005

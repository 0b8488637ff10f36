"""Bytes as people read and write them. Inside memprof a number of bytes is always an integer."""

from __future__ import annotations

import re

from memprof.errors import UsageError

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_FACTORS: dict[str, int] = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgtp", start=1)},
}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-zA-Z]*)\s*")


def format_bytes(nbytes: int, *, sign: bool = False) -> str:
    """Writes a number of bytes in binary units: ``1536`` as ``1.50 KiB``, ``0`` as ``0 B``."""
    prefix = "-" if nbytes < 0 else "+" if sign and nbytes > 0 else ""
    amount, unit = float(abs(nbytes)), 0
    while amount >= 1023.995 and unit < len(_BINARY) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{prefix}{abs(nbytes)} B" if unit == 0 else f"{prefix}{amount:.2f} {_BINARY[unit]}"


def format_gigabytes(nbytes: int) -> str:
    """Writes a number of bytes in decimal gigabytes, as hardware is sold: ``42.95 GB``."""
    return f"{nbytes / 1e9:.2f} GB"


def parse_bytes(text: str | int) -> int:
    """Reads ``2GiB``, ``2 GB``, ``512MB``, ``1.5 kib`` or a plain number of bytes.

    Raises:
        UsageError: if the text is not a size.
    """
    if isinstance(text, int):
        return text
    match = _SIZE.fullmatch(text)
    factor = _FACTORS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise UsageError(
            f"{text!r} is not a size: write it like '2 GiB', '512MB' or a number of bytes"
        )
    amount = str(match[1])
    return round(float(amount) * factor) if "." in amount else int(amount) * factor

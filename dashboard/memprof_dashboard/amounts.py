"""Bytes as the visitor wants to read them: GiB, or GB where the cookie of the page says so."""

from __future__ import annotations

from contextvars import ContextVar

from memprof import units

#: The cookie in which a browser keeps the choice, and what it says for decimal units.
COOKIE, DECIMAL = "memprof-units", "GB"

_decimal: ContextVar[bool] = ContextVar("decimal", default=False)
_BINARY_NAMES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL_NAMES = ("B", "kB", "MB", "GB", "TB", "PB")


def choose_units(cookie: str | None) -> None:
    """Takes over the choice of the browser whose request is being answered."""
    _decimal.set(cookie == DECIMAL)


def is_decimal() -> bool:
    """Whether amounts are written in powers of 1000."""
    return _decimal.get()


def unit_scale() -> tuple[int, tuple[str, ...]]:
    """From one unit to the next, and the names of the units."""
    return (1000, _DECIMAL_NAMES) if is_decimal() else (1024, _BINARY_NAMES)


def format_bytes(nbytes: int, *, sign: bool = False) -> str:
    """Writes a number of bytes in the chosen units."""
    if not is_decimal():
        return units.format_bytes(nbytes, sign=sign)
    prefix = "-" if nbytes < 0 else "+" if sign and nbytes > 0 else ""
    amount, power = float(abs(nbytes)), 0
    while amount >= 999.995 and power < len(_DECIMAL_NAMES) - 1:
        amount, power = amount / 1000, power + 1
    return f"{prefix}{amount:.2f} {_DECIMAL_NAMES[power]}" if power else f"{prefix}{abs(nbytes)} B"

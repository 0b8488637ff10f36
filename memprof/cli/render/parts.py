"""Pieces that several answers are made of: tables, bars, lists of words, the closing line."""

from __future__ import annotations

from collections.abc import Iterable

from rich.padding import Padding
from rich.text import Text

from memprof.palette import CATEGORY_COLORS
from memprof.units import format_bytes

UNKNOWN = "–"
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def headline(parts: Iterable[str]) -> Text:
    """One line of facts, those that are empty left out."""
    return Text(" · ".join(part for part in parts if part))


def heading(text: str) -> Text:
    """The title of a section, with a blank line above it."""
    return Text.assemble("\n", (text, "bold"))


def indented(text: str | Text, columns: int = 2) -> Padding:
    """A paragraph that keeps its indentation where it wraps."""
    return Padding(text, (0, 0, 0, columns))


def category(name: str) -> Text:
    """A category's name in its colour."""
    return Text(name, CATEGORY_COLORS.get(name, ""))


def bar(share: float, name: str, width: int = 24) -> Text:
    """A bar of `share` (0 to 1) of `width` columns, in a category's colour."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    eighths = max(eighths, 1) if share > 0 else 0
    full, rest = divmod(eighths, 8)
    return Text("█" * full + (_EIGHTHS[rest] if rest else ""), CATEGORY_COLORS.get(name, ""))


def size(nbytes: int | None, *, sign: bool = False) -> str:
    """A number of bytes for people, or a dash where it is not known."""
    return UNKNOWN if nbytes is None else format_bytes(nbytes, sign=sign)


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 step``, ``12,000 events``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def next_command(command: str) -> Text:
    """The closing line: the command worth typing next."""
    return Text.assemble("\n", ("Next: ", "dim"), (command, "bold"))

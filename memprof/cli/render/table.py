"""Tables without lines. Numbers and names stay whole; what gives way is said column by column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

Row = Sequence[str | Text]
Kind = Literal["text", "number", "cut", "wrap"]

INDENT = 2
GAP = 2
NARROWEST = 16


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        title: "" for none.
        kind: "text" and "number" are shown whole; "cut" is shortened and "wrap" takes several
            lines where the terminal is too narrow.
    """

    title: str
    kind: Kind = "text"


class Table:
    """Rows under titles, set in by two columns, no wider than it must be."""

    def __init__(self, columns: Sequence[Column], rows: Iterable[Row]) -> None:
        self._columns = columns
        self._rows = [[_text(cell) for cell in row] for row in rows]
        if any(column.title for column in columns):
            self._rows.insert(0, [Text(column.title, "dim") for column in columns])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lays the table out for the width at hand."""
        widths = self._widths(options.max_width)
        for row in self._rows:
            yield from self._lines(console, row, widths)

    def _widths(self, available: int) -> list[int]:
        """Widths of the columns: what is too much is taken from those that may give way."""
        places = range(len(self._columns))
        widths = [max((row[place].cell_len for row in self._rows), default=0) for place in places]
        excess = sum(widths) + GAP * (len(widths) - 1) + INDENT - available
        for place in reversed(places):
            if excess > 0 and self._columns[place].kind in ("cut", "wrap"):
                given = min(excess, max(0, widths[place] - NARROWEST))
                widths[place] -= given
                excess -= given
        return widths

    def _lines(self, console: Console, row: list[Text], widths: list[int]) -> Iterator[Text]:
        cells = [
            cell.wrap(console, width) if column.kind == "wrap" else [_cut(cell, width)]
            for column, cell, width in zip(self._columns, row, widths, strict=True)
        ]
        for line in range(max(map(len, cells))):
            parts = [cell[line] if line < len(cell) else Text() for cell in cells]
            padded = map(self._pad, self._columns, parts, widths)
            yield Text(" " * INDENT).append_text(Text(" " * GAP).join(padded))

    @staticmethod
    def _pad(column: Column, cell: Text, width: int) -> Text:
        padded = cell.copy()
        padded.align("right" if column.kind == "number" else "left", width)
        return padded


def _text(cell: str | Text) -> Text:
    return Text(cell) if isinstance(cell, str) else cell


def _cut(cell: Text, width: int) -> Text:
    shortened = cell.copy()
    shortened.truncate(width, overflow="ellipsis")
    return shortened

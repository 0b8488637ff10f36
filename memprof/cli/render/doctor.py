"""How things stand on this machine, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render.table import Column, Table

_MARKS = {"ok": ("✓", "green"), "missing": ("–", "yellow"), "broken": ("✗", "red")}


def doctor_text(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Renders the document of `memprof doctor`."""
    columns = (Column(""), Column(""), Column("", "wrap"))
    yield Table(columns, [_row(check) for check in document["checks"]])


def _row(check: Mapping[str, str]) -> tuple[Text, Text, Text]:
    mark = Text(*_MARKS[check["state"]])
    advice = (f"; {check['fix']}" if check["fix"] else "", "bold")
    return mark, Text(check["name"], "dim"), Text.assemble(check["text"], advice)

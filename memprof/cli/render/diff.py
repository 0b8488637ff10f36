"""What grew between two traces, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render.parts import UNKNOWN, category, heading, indented, next_command, size
from memprof.cli.render.table import Column, Row, Table

Data = Mapping[str, Any]
SHOWN = 8
_NUMBERS = (
    Column("before", "number"),
    Column("after", "number"),
    Column("change", "number"),
    Column("in %", "number"),
)
_CATEGORY_COLUMNS = (Column("highest of each"), *_NUMBERS)
_MODULE_COLUMNS = (Column("module", "cut"), *_NUMBERS)
_TENSOR_COLUMNS = (
    Column("tensor"),
    Column("", "cut"),
    *_NUMBERS,
    Column(""),
)


def diff_text(document: Data, *, quiet: bool = False) -> Iterator[RenderableType]:
    """Renders what `diff_answer` says."""
    yield Text(f"{document['before']['source']} → {document['after']['source']}")
    for side in ("before", "after"):
        if not document[side]["complete"]:
            yield Text(f"{document[side]['source']} ends early", "bold yellow")
    for name, device in document["devices"].items():
        yield from _device(name, device)
    if not document["devices"]:
        yield Text("\nNeither trace has anything, so there is nothing to compare.")
    yield from _verdict(document)
    if not quiet:
        yield next_command(f"memprof report {document['after']['source']}")


def changed_categories(device: Data) -> Iterator[tuple[str, Data]]:
    """The categories that either trace knows of, each with the change of its highest level."""
    for name, row in device["categories"].items():
        if row["highest"]["before_bytes"] or row["highest"]["after_bytes"]:
            yield name, row["highest"]


def figures(change: Data) -> tuple[str, str, str, str]:
    """Before, after, and the change in bytes and in percent."""
    percent = change["growth_percent"]
    return (
        size(change["before_bytes"]),
        size(change["after_bytes"]),
        size(change["growth_bytes"], sign=True),
        UNKNOWN if percent is None else f"{percent:+.1f}" if percent else "0",
    )


def tensor_name(row: Data) -> str:
    """What people call tensors of one kind: their name, or what made them."""
    op = row["op"].removeprefix("aten::").removeprefix("aten.").removesuffix(".default")
    maker = f"{row['module']} {op}".strip()
    named = row["name"] and not (row["category"] == "activations" and row["module"])
    return row["name"] if named else maker or UNKNOWN


def tensor_place(row: Data) -> str:
    """File and line that made them, without the file's folder."""
    return PurePath(row["place"].partition(" ")[0]).name


def _device(name: str, device: Data) -> Iterator[RenderableType]:
    before, after, change, percent = figures(device["peak"])
    grown = change if percent in ("0", UNKNOWN) else f"{change}, {percent} %"
    yield Text(f"\nPeak on {name} {before} → {after} ({grown})\n", "bold")
    rows = [(category(kind), *figures(each)) for kind, each in changed_categories(device)]
    yield Table(_CATEGORY_COLUMNS, rows)
    yield from _most("Modules at the peak", _MODULE_COLUMNS, device["modules"], _module_row)
    yield from _most("Tensors at the peak", _TENSOR_COLUMNS, device["tensors"], _tensor_row)


def _most(
    title: str, columns: Sequence[Column], rows: Sequence[Data], render: Any
) -> Iterator[RenderableType]:
    if not rows:
        return
    yield heading(f"{title}, those that changed most")
    yield Table(columns, [render(row) for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        yield indented(f"{len(rows) - SHOWN:,} more changed; --json lists every one")


def _module_row(row: Data) -> Row:
    return row["module"] or "(no module)", *figures(row)


def _tensor_row(row: Data) -> Row:
    count = row["after_count"] or row["before_count"]
    alike = f" ({count} alike)" if count > 1 else ""
    kind = category(row["category"])
    return kind, f"{tensor_name(row)}{alike}", *figures(row), tensor_place(row)


def _verdict(document: Data) -> Iterator[RenderableType]:
    if document["exceeded"]:
        yield heading("Limits exceeded")
        for excess in document["exceeded"]:
            yield indented(Text(excess["sentence"], "bold red"))
    elif document["limits"]:
        yield Text(f"\nWithin the limits: {', '.join(document['limits'])}")

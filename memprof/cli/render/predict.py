"""What a program would need, and where it fits, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render.parts import bar, category, heading, indented, next_command, size
from memprof.cli.render.peak import peak_line
from memprof.cli.render.run_facts import remarks, run_line
from memprof.cli.render.table import Column, Row, Table

Data = Mapping[str, Any]
_CATEGORIES = (Column("category"), Column("predicted", "number"), Column("share of the peak"))
_FITS = (
    Column("GPU"),
    Column("has", "number"),
    Column("fits"),
    Column("head-room", "number"),
)


def predict_text(document: Data, *, source: str, quiet: bool = False) -> Iterator[RenderableType]:
    """Renders what `answer` says."""
    yield run_line(document)
    if document["peak"] is None:
        yield Text("\nThe program made no tensor, so there is nothing to predict.")
        return
    yield peak_line(document["devices"][document["device"]], document["device"], several=False)
    yield _categories(document["peak"])
    yield from _levels(document)
    yield heading("Fits on")
    yield Table(_FITS, map(_fit, document["fits"].items()))
    yield from _roles(document)
    yield from _search(document)
    yield from _changes(document)
    yield from remarks(document)
    if not quiet:
        yield next_command(f"memprof report {source}")


def _categories(peak: Data) -> Table:
    total = peak["requested_bytes"]
    rows = [
        (category(name), size(nbytes), bar(nbytes / total if total else 0.0, name))
        for name, nbytes in peak["by_category"].items()
        if nbytes
    ]
    return Table(_CATEGORIES, rows)


def _levels(document: Data) -> Iterator[RenderableType]:
    peak = document["peak"]
    yield heading("From tensors to the device")
    yield indented(
        f"requested {size(peak['requested_bytes'])} → allocated {size(peak['allocated_bytes'])} → "
        f"reserved {size(peak['reserved_bytes'])} ─ context and libraries, assumed "
        f"{size(document['context_bytes'])} → needed {size(document['needed_bytes'])}"
    )
    if document["device"] == "cpu":
        yield indented("The program put no tensor on a GPU: this is as if all of it were there.")


def _fit(item: tuple[str, Data]) -> Row:
    key, fit = item
    verdict = Text("yes", "green") if fit["fits"] else Text("no", "bold red")
    return key, size(fit["total_bytes"]), verdict, size(fit["headroom_bytes"], sign=True)


def _roles(document: Data) -> Iterator[RenderableType]:
    roles = document["roles"]
    if roles is None:
        return
    yield heading("By rank, the first and the last")
    for role in roles:
        needed = role["needed_bytes"]
        said = "could not be predicted" if needed is None else f"needs {size(needed)}"
        yield indented(f"rank {role['rank']} {said}")


def _search(document: Data) -> Iterator[RenderableType]:
    found = document["search"]
    if found is None:
        return
    name, tried = found["argument"], len(found["tried"])
    yield heading(f"The largest --{name} that fits on {document['gpu']}")
    if found["largest"] is None:
        yield indented(f"none: not even {found['range'][0]}")
    else:
        needed = size(found["tried"][str(found["largest"])])
        yield indented(f"{found['largest']}, which needs {needed} ({tried} predictions)")


def _changes(document: Data) -> Iterator[RenderableType]:
    changes = document["changes"]
    if changes is None:
        return
    yield heading(f"To make it fit on {document['gpu']}, the cheapest first")
    if not changes:
        yield indented("None of the changes that were predicted is enough.")
    for number, change in enumerate(changes, 1):
        needed = size(change["needed_bytes"])
        yield indented(f"{number}. needs {needed}: {change['text']} Cost: {change['cost']}.")

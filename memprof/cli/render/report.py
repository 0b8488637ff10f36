"""The report of a trace as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render import detail as details
from memprof.cli.render.driver import driver
from memprof.cli.render.findings import findings
from memprof.cli.render.levels import levels
from memprof.cli.render.parts import heading, indented, next_command
from memprof.cli.render.peak import (
    category_table,
    frozen,
    largest,
    not_estimated,
    peak_line,
    unseen,
)
from memprof.cli.render.run_facts import early_end, remarks, run_line
from memprof.out_of_memory import lines

NOTHING = (
    "\nNothing was recorded: no tensor was allocated while the trace ran, and none was alive when "
    "it began."
)


def report_text(
    document: Mapping[str, Any], *, detail: bool = False, quiet: bool = False
) -> Iterator[RenderableType]:
    """Renders what `report_document` says, with the estimates beside it.

    Args:
        document: the report.
        detail: list steps and modules too.
        quiet: leave out the next command.
    """
    yield run_line(document)
    yield from early_end(document)
    for name, device in document["devices"].items():
        yield from _device(device, name, len(document["devices"]) > 1, detail)
    if not document["devices"]:
        yield Text(NOTHING)
    yield from _out_of_memory(document["out_of_memory"])
    yield from driver(document)
    yield from remarks(document)
    yield from findings(document["findings"], several=len(document["devices"]) > 1)
    if not quiet:
        yield next_command(f"memprof view {document['trace']['source']}")


def _out_of_memory(found: Mapping[str, Any] | None) -> Iterator[RenderableType]:
    if found is not None:
        yield heading("Out of memory" + (f", {found['times']} times" if found["times"] > 1 else ""))
        yield from map(indented, lines(found))


def _device(
    device: Mapping[str, Any], name: str, several: bool, detail: bool
) -> Iterator[RenderableType]:
    peak = device["peak"]
    yield peak_line(device, name, several=several)
    yield category_table(peak)
    yield from not_estimated(peak)
    yield from frozen(peak)
    yield from unseen(device)
    yield from levels(device, name)
    yield from largest(peak)
    yield from details.steps_line(device["steps"])
    if detail:
        yield from details.step_rows(device["steps"])
        yield from details.module_rows(device["modules"])

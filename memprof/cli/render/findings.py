"""The findings of a report, numbered, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from memprof.cli.render.parts import heading, indented, size

Data = Mapping[str, Any]


def findings(found: Sequence[Data], *, several: bool) -> Iterator[RenderableType]:
    """One paragraph a finding and one on what to do; nothing where there are none.

    Args:
        found: the report's findings, in their order.
        several: name the device of each.
    """
    if not found:
        return
    yield heading("Findings")
    for number, finding in enumerate(found, 1):
        device = f" on {finding['device']}" if several else ""
        amount = f"{number}. {size(finding['bytes'])}{device}"
        yield indented(Text.assemble((amount, "bold"), f"  {finding['text']}"))
        yield indented(Text(finding["fix"], "green"), 5)

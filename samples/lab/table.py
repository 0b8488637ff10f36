"""What every script of the lab ends in: the article's claim, a formula, and what was measured."""

from __future__ import annotations

import argparse
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

COLUMNS = ("the article's claim", "formula", "estimate for the run", "measured", "error")


@dataclass(frozen=True)
class Row:
    """One thing that a formula says and a run shows.

    Attributes:
        claim: what the article says of it.
        formula: what memprof says, with the run's own numbers in it.
        estimated: what the formula gives, in `unit`; None where nothing says what to expect.
        measured: what was measured; None where this machine cannot run it.
        unit: "B", "GB/s", "%", "x", ...
        within: how far the two may be apart, as a part of what was measured: 0 is to the byte.
            None where the formula is a bound or the clock decides: told, not judged.
    """

    claim: str
    formula: str
    estimated: float | None
    measured: float | None = None
    unit: str = "B"
    within: float | None = 0.0

    @property
    def error(self) -> float | None:
        """Measured less estimated, as a part of what was measured; None if either is missing."""
        if self.measured is None or self.estimated is None:
            return None
        if self.measured == self.estimated:
            return 0.0
        return (self.measured - self.estimated) / (self.measured or self.estimated)

    @property
    def holds(self) -> bool:
        """Whether formula and measurement agree as well as they are said to."""
        return self.within is None or self.error is None or abs(self.error) <= self.within

    def cells(self) -> tuple[str, str, str, str, str]:
        """The row as people read it."""
        expected = "–" if self.estimated is None else amount(self.estimated, self.unit)
        missing = "–" if self.estimated is None else "computed"
        told = missing if self.measured is None else amount(self.measured, self.unit)
        return self.claim, self.formula, expected, told, self._error()

    def _error(self) -> str:
        if self.error is None:
            return "–"
        return "0" if self.error == 0 else f"{100 * self.error:+.2g} %"


@dataclass(frozen=True)
class Result:
    """The table of one script, and what it teaches in a few sentences."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()


def amount(value: float, unit: str) -> str:
    """Writes a number with its unit; bytes whole up to 1 GB, then as GB and GiB."""
    if unit == "B" and abs(value) < 1e9:
        return f"{value:,.0f} B"
    if unit == "B":
        return f"{value / 1e9:,.2f} GB = {value / 2**30:,.2f} GiB"
    number = f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"
    return f"{number} {unit}".strip()


def main(measure: Callable[[bool], Result], threads: int = 1) -> None:
    """Runs a script of the lab: prints its table, or writes it as JSON.

    Args:
        measure: makes the table; told whether to be quick.
        threads: of PyTorch's operators, 0 for as many as there are cores. Most models here are
            too small for more than one.
    """
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller run of a few seconds")
    parser.add_argument("--json", type=Path, help="write the table into this file instead")
    options = parser.parse_args()
    torch.set_num_threads(threads or torch.get_num_threads())
    warnings.filterwarnings("ignore")  # of the libraries; memprof speaks on stderr
    logging.disable(logging.WARNING)
    result = measure(options.quick)
    if options.json:
        options.json.write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n")
    else:
        show(result)


def show(result: Result) -> None:
    """Prints a result as a table."""
    table = Table(title=result.title, show_lines=True)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in COLUMNS[:2] else "right")
    for row in result.rows:
        table.add_row(*row.cells())
    console = Console()
    console.print(table)
    for note in result.notes:
        console.print(f"  {note}", highlight=False)

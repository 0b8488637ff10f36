"""What `--detail` adds: every step, and the modules that held the most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType

from memprof.cli.render.parts import UNKNOWN, category, heading, indented, plural, size
from memprof.cli.render.table import Column, Row, Table

Data = Mapping[str, Any]
MODULES = 15
STEPS = 40
_STEP_COLUMNS = (
    Column("step", "number"),
    Column("begins", "number"),
    Column("peak", "number"),
    Column("at its end", "number"),
    Column("peak in"),
)
_MODULE_COLUMNS = (
    Column("module", "cut"),
    Column("bytes", "number"),
    Column("tensors", "number"),
    Column("mostly"),
)


def steps_line(steps: Sequence[Data]) -> Iterator[RenderableType]:
    """Answers whether memory grows from step to step; nothing where there is one step only."""
    if len(steps) < 2:
        return
    highest = max(steps, key=lambda step: step["peak_bytes"])
    yield heading("From step to step")
    yield indented(
        f"{plural(len(steps), 'step')}; the highest is step {highest['step']} with "
        f"{size(highest['peak_bytes'])}; {_growth(steps)}"
    )


def _growth(steps: Sequence[Data]) -> str:
    """What is left when a step ends.

    The first step is left aside, as it builds what the others reuse, and so is the last, as it
    may end with the program.
    """
    settled = [step["end_bytes"] for step in steps[1:-1] or steps[1:]]
    if len(set(settled)) == 1:
        return f"{size(settled[0])} stay when a step ends"
    return f"when a step ends {size(settled[0])} stay at first and {size(settled[-1])} at last"


def step_rows(steps: Sequence[Data]) -> Iterator[RenderableType]:
    """One line a step."""
    if steps:
        yield heading("Steps")
        yield Table(_STEP_COLUMNS, [_step_row(step) for step in steps[:STEPS]])
    if len(steps) > STEPS:
        yield indented(f"{plural(len(steps) - STEPS, 'more step')}; --json lists every one")


def _step_row(step: Data) -> Row:
    levels = (size(step["peak_bytes"]), size(step["end_bytes"]))
    begins = f"{step['begin_seconds']:.3f} s"
    return str(step["step"]), begins, *levels, step["peak_phase"] or UNKNOWN


def module_rows(modules: Sequence[Data]) -> Iterator[RenderableType]:
    """The modules that held the most at the peak, and mostly of what."""
    if not modules:
        return
    yield heading("Modules at the peak")
    rows = [_module_row(module) for module in modules[:MODULES]]
    yield Table(_MODULE_COLUMNS, rows)
    if len(modules) > MODULES:
        rest = sum(module["bytes"] for module in modules[MODULES:])
        yield indented(f"{plural(len(modules) - MODULES, 'more module')} with {size(rest)}")


def _module_row(module: Data) -> Row:
    mostly = max(module["by_category"], key=module["by_category"].__getitem__)
    name = module["module"] or "(no module)"
    return name, size(module["bytes"]), f"{module['count']:,}", category(mostly)

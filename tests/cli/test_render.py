"""Pieces of text: what gives way where a terminal is narrow, and what never does."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from memprof.analyze.waterfall import LEVELS, Waterfall, gaps
from memprof.cli.render.detail import steps_line
from memprof.cli.render.levels import levels
from memprof.cli.render.parts import bar, plural
from memprof.cli.render.peak import largest, unseen
from memprof.cli.render.run_facts import program_name
from memprof.cli.render.table import Column, Table

KIB = 1 << 10


def printed(*parts: RenderableType, width: int = 80) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None)
    for part in parts:
        console.print(part)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


COLUMNS = (
    Column("what"),
    Column("bytes", "number"),
    Column("module", "cut"),
    Column("why", "wrap"),
)
ROWS = [
    ("weights", "12.00 MiB", "model.layers.0.mlp", "one two three four five six"),
    ("b", "1 B", "", ""),
]


def test_table_with_room_for_all() -> None:
    assert printed(Table(COLUMNS, ROWS)) == [
        "  what         bytes  module              why",
        "  weights  12.00 MiB  model.layers.0.mlp  one two three four five six",
        "  b              1 B",
    ]


def test_table_in_a_narrow_terminal() -> None:
    lines = printed(Table(COLUMNS, ROWS), width=57)
    assert lines[1] == "  weights  12.00 MiB  model.layers.0.m…  one two three"
    assert [line.split() for line in lines[2:4]] == [["four", "five", "six"], ["b", "1", "B"]]
    assert max(map(len, lines)) <= 57


def test_table_never_shortens_numbers() -> None:
    lines = printed(Table(COLUMNS[:3], [row[:3] for row in ROWS]), width=20)
    assert any("12.00 MiB" in line for line in lines)


def test_table_without_rows_or_titles() -> None:
    assert printed(Table((Column("a"), Column("b")), [])) == ["  a  b"]
    assert printed(Table((Column(""), Column("")), [])) == []


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, ""), (1.0, "████"), (0.5, "██"), (0.25 + 1 / 32, "█▏"), (1e-9, "▏"), (7.0, "████")],
)
def test_bar(share: float, text: str) -> None:
    assert bar(share, "weights", width=4).plain == text


def test_plural() -> None:
    assert (plural(1, "step"), plural(0, "step"), plural(1234, "event")) == (
        "1 step",
        "0 steps",
        "1,234 events",
    )


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (["/home/me/train.py", "--lr", "1"], "train.py"),
        (["/site/package/__main__.py"], "package"),
        ([], ""),
        (None, ""),
    ],
)
def test_program_name(program: object, name: str) -> None:
    assert program_name(program) == name


def chain(name: str, total: int | None = None, **known: int) -> str:
    levels_known = dict.fromkeys(LEVELS) | known
    document = Waterfall(levels_known, gaps(levels_known, {})).document()
    device = {"waterfall": document, "total_bytes": total}
    return " ".join(" ".join(printed(*levels(device, name), width=500)).split())


def test_levels_of_host_memory() -> None:
    assert chain("cpu", requested=KIB, process=3 * KIB) == (
        "From tensors to the process requested 1.00 KiB ─ Python, libraries, memory not yet given "
        "back 2.00 KiB → this process 3.00 KiB"
    )


def test_memory_that_was_never_touched() -> None:
    text = chain("cpu", requested=3 * KIB, process=KIB)
    assert "─ asked for and not touched yet 2.00 KiB → this process 1.00 KiB" in text


def test_levels_where_nothing_was_measured() -> None:
    assert chain("cuda:0", requested=KIB) == ""


def step(number: int, peak: int, end: int) -> dict[str, Any]:
    return {"step": number, "peak_bytes": peak, "end_bytes": end}


def steps(*levels_of: tuple[int, int]) -> str:
    rows = [step(number, *level) for number, level in enumerate(levels_of)]
    return " ".join(" ".join(printed(*steps_line(rows), width=500)).split())


def test_steps_that_settle() -> None:
    text = steps((9, 1), (12, 5), (12, 5), (12, 0))
    assert text.endswith("4 steps; the highest is step 1 with 12 B; 5 B stay when a step ends")


def test_steps_that_grow() -> None:
    text = steps((9, 1), (12, 5), (13, 6), (14, 7), (15, 0))
    assert text.endswith("when a step ends 5 B stay at first and 7 B at last")


def test_a_single_step_is_not_compared() -> None:
    assert steps((9, 1)) == ""


def group(**about: Any) -> dict[str, Any]:
    basic = {"bytes": KIB, "count": 1, "category": "weights", "name": "", "module": "", "op": ""}
    return {**basic, "tensor": "", "stack": [], **about}


def named(**about: Any) -> str:
    lines = printed(*largest({"top": [group(**about)]}), width=200)
    return " ".join(lines[-1].split()[3:])


def test_what_a_large_tensor_is_called() -> None:
    assert named(name="layer.weight", module="layer", op="aten.empty.default") == "layer.weight"
    made = {"module": "layer", "op": "aten.mm.default"}
    assert named(**made, count=3) == "layer mm (3 alike)"
    assert named(**made, name="MmBackward0", category="activations") == "layer mm"
    assert named() == "–"
    assert named(name="x", stack=["/a/b/train.py:4 main", "c.py:1 f"]) == "x train.py:4"


def test_workspaces_are_told_only_where_they_count() -> None:
    used = {"op": "aten.svd.default", "workspace_bytes": KIB, "workspaces_peak_bytes": 3 * KIB}
    assert "Inside svd another 1.00 KiB were in use" in " ".join(printed(*unseen({"unseen": used})))
    assert printed(*unseen({"unseen": {**used, "workspace_bytes": 0}})) == []

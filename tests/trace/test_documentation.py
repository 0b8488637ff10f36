"""The page on the file format names the tables and columns that the code writes."""

from __future__ import annotations

import re
from pathlib import Path

from memprof.trace import VERSION
from memprof.trace.schema import TABLES
from tests.trace_builder import TraceBuilder

PAGE = Path(__file__).parents[2] / "docs" / "trace-format.md"


def test_the_page_lists_every_table_with_its_columns() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| ((?:`\w+` ?)+) \|$", PAGE.read_text(), re.MULTILINE)

    assert {table: re.findall(r"\w+", columns) for table, columns in rows} == {
        table: list(columns) for table, columns in TABLES.items()
    }


def test_the_lines_shown_begin_as_real_ones_do() -> None:
    build = TraceBuilder()
    build.alloc(1)
    first, *_, last = build.to_bytes().decode().splitlines()

    text = PAGE.read_text()

    opening = f'{{"format":"memprof-trace","version":{VERSION},"header":{{'
    assert opening in text
    assert first.startswith(opening)
    assert '{"k":"end"}],"summary":{' in text
    assert last.startswith('{"k":"end"}],"summary":{')

"""Which traces belong to one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memprof.analyze.runs import are_ranks, trace_names
from memprof.trace import Trace, load
from tests.trace_builder import TraceBuilder


def traces(folder: Path, *headers: dict[str, Any]) -> list[Trace]:
    found = []
    for number, header in enumerate(headers):
        (folder / str(number)).mkdir()
        name = header.pop("file", "t.json")
        found.append(load(TraceBuilder(**header).write(folder / str(number) / name)))
    return found


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([{"rank": 0}, {"rank": 1}], True),
        ([{"rank": 0}, {"rank": 0}], False),
        ([{"rank": None}, {"rank": None}], False),
        ([{"rank": 0}, {"rank": None}], False),
        ([{"rank": 0, "program": ["a.py"]}, {"rank": 1, "program": ["b.py"]}], False),
    ],
)
def test_ranks_of_one_run_are_told_from_two_runs(
    tmp_path: Path, headers: list[dict[str, Any]], expected: bool
) -> None:
    found = traces(tmp_path, *headers)
    assert are_ranks(found) is expected
    if expected:
        assert trace_names(found) == ["rank 0", "rank 1"]


def test_runs_are_called_by_their_files(tmp_path: Path) -> None:
    assert trace_names(traces(tmp_path, {"file": "a.json"}, {"file": "b.json"})) == [
        "a.json",
        "b.json",
    ]
    (tmp_path / "alike").mkdir()
    alike = traces(tmp_path / "alike", {}, {})
    assert trace_names(alike) == [trace.source for trace in alike]

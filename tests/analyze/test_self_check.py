"""Verdicts on counts written by hand, and the line that says them."""

from typing import Any

import pytest

from memprof.analyze import analyze
from memprof.analyze.report import report_document
from memprof.analyze.self_check import self_check
from memprof.cli.render.self_check import self_check_lines
from tests.trace_builder import TraceBuilder

RECORDED = (5, 6)


def check_of(counts: dict[int, tuple[int, int, int]], device: str = "cpu") -> dict[str, Any]:
    """Builds the fact of a check from allocations, bytes and peak by turn."""
    names = ("allocations", "bytes", "peak_bytes")
    steps = [
        {
            "turn": turn,
            "step": turn + 10,
            "recorded": turn in RECORDED,
            "devices": {device: dict(zip(names, each, strict=True))},
        }
        for turn, each in counts.items()
    ]
    builder = TraceBuilder()
    builder.fact("self_check", {"steps": steps, "paused": 5})
    found = report_document(analyze(builder.trace()))["self_check"]
    assert isinstance(found, dict)
    return found


def flat(
    without: tuple[int, int, int], recorded: tuple[int, int, int]
) -> dict[int, tuple[int, int, int]]:
    return {turn: recorded if turn in RECORDED else without for turn in range(3, 9)}


def line_of(check: dict[str, Any]) -> str:
    (line,) = self_check_lines(check)
    return line


def test_none_where_nobody_asked() -> None:
    assert self_check(TraceBuilder().trace()) is None
    assert list(self_check_lines(None)) == []


def test_equal_steps() -> None:
    check = check_of(flat((1234, 3 << 20, 1 << 20), (1234, 3 << 20, 1 << 20)))
    assert check["devices"]["cpu"]["verdict"] == "equal"
    assert line_of(check) == (
        "Self-check: steps with and without recording allocate the same "
        "(1,234 allocations, 3.00 MiB, peak 1.00 MiB)"
    )


def test_what_recording_adds() -> None:
    check = check_of(flat((100, 1000, 500), (136, 1029, 500)))
    device = check["devices"]["cpu"]
    assert device["verdict"] == "differs"
    assert (device["added_allocations"], device["added_bytes"]) == (36, 29)
    assert device["added_peak_bytes"] == 0
    assert [step["step"] for step in device["steps_with"]] == [15, 16]
    assert line_of(check) == (
        "Self-check: recording adds 36 allocations, 29 B (2.9 %) to a step, 0 B to its peak"
    )


@pytest.mark.parametrize("place", range(3))
def test_any_of_the_three_counts_decides(place: int) -> None:
    recorded = [10, 10, 10]
    recorded[place] += 1
    check = check_of(flat((10, 10, 10), (recorded[0], recorded[1], recorded[2])))
    assert check["devices"]["cpu"]["verdict"] == "differs"


def test_one_recorded_step_that_differs_is_enough() -> None:
    counts = flat((10, 10, 10), (10, 10, 10))
    counts[6] = (10, 14, 10)
    device = check_of(counts)["devices"]["cpu"]
    assert (device["verdict"], device["added_bytes"]) == ("differs", 2)


def test_steps_that_grow_by_the_same_amount_are_judged() -> None:
    counts = {turn: (10, 100 * turn, 7 * turn) for turn in range(3, 9)}
    assert check_of(counts)["devices"]["cpu"]["verdict"] == "equal"
    counts[5] = (11, 508, 35)
    device = check_of(counts)["devices"]["cpu"]
    assert (device["verdict"], device["added_bytes"]) == ("differs", 4)
    assert device["without"]["bytes"] == 550


def test_a_program_that_alternates_is_not_judged() -> None:
    counts = {turn: (10 + turn % 2, 10, 10) for turn in range(3, 9)}
    check = check_of(counts)
    assert check["devices"]["cpu"]["verdict"] == "unsteady"
    assert line_of(check).startswith("Self-check: undecided: ")


def test_a_check_that_was_not_made_says_why() -> None:
    builder = TraceBuilder()
    builder.fact("self_check", {"reason": "no compiler"})
    check = self_check(builder.trace())
    assert check is not None
    assert check["devices"] == {}
    assert line_of(check) == "Self-check: not made: no compiler"

"""The steps of a loop: how they rise, which is unlike the others, what they leave behind."""

from __future__ import annotations

import pytest

from memprof.analyze import analyze, leaks, step_table
from memprof.analyze.device import DeviceAnalysis
from memprof.analyze.steps import odd_steps, step_curves, typical_rise
from tests.trace_builder import TraceBuilder

KEPT = 40


def loop(*widths: int, keep: bool = False) -> DeviceAnalysis:
    """A loop over tensors of some widths; with `keep` each turn also keeps `KEPT` bytes."""
    build = TraceBuilder()
    build.alloc(1_000, label="parameter", name="w")
    for width in widths:
        build.step()
        with build.phase("forward"):
            first = build.alloc(width, stack="train.py:3 step")
            second = build.alloc(2 * width, stack="train.py:4 step")
            if keep:
                build.alloc(KEPT, stack="train.py:9 log")
        build.free(second, first)
    return analyze(build.trace()).device("cpu")


def test_a_step_is_held_against_its_own_beginning() -> None:
    rows = step_table(loop(10, 10, 50, keep=True))
    assert [(row.begin_bytes, row.peak_bytes, row.end_bytes) for row in rows] == [
        (1_000, 1_000 + 30 + KEPT, 1_000 + KEPT),
        (1_000 + KEPT, 1_000 + 30 + 2 * KEPT, 1_000 + 2 * KEPT),
        (1_000 + 2 * KEPT, 1_000 + 150 + 3 * KEPT, 1_000 + 3 * KEPT),
    ]
    assert [row.rise for row in rows] == [70, 70, 190]
    assert [row.births for row in rows] == [3, 3, 3]
    assert typical_rise(rows) == 70


@pytest.mark.parametrize("keep", [False, True])
def test_the_odd_step_is_found_though_the_level_creeps(keep: bool) -> None:
    widths = [100] * 12
    widths[7], widths[3] = 300, 90
    rows = step_table(loop(*widths, keep=keep))
    assert [row.step for row in odd_steps(rows)] == [7, 3]
    assert odd_steps(step_table(loop(*[100] * 12, keep=keep))) == []


def test_steps_that_all_differ_have_no_odd_one() -> None:
    assert odd_steps(step_table(loop(*range(100, 200, 10)))) == []
    assert odd_steps(step_table(loop(1, 900))) == []


def test_curves_begin_with_their_step_and_keep_its_peak() -> None:
    device = loop(10, 20, 300)
    rows = step_table(device)
    curves = step_curves(device, rows[1:], buckets=3)
    assert [curve.step for curve in curves] == [1, 2]
    assert [int(curve.total.max()) for curve in curves] == [1_060, 1_900]
    assert [curve.seconds[0] for curve in curves] == pytest.approx([0, 0])
    lengths = [row.end - row.begin for row in rows[1:]]
    assert [curve.seconds[-1] for curve in curves] == pytest.approx(lengths, abs=2e-9)


def test_what_piles_up_is_told_by_its_line() -> None:
    (leak,) = leaks(loop(10, 10, 10, 10, keep=True))
    assert leak.place == "train.py:9 log"
    assert leak.held == (KEPT, 2 * KEPT, 3 * KEPT, 3 * KEPT)
    assert (leak.bytes, leak.bytes_per_step) == (3 * KEPT, KEPT)
    assert len(leak.allocations) == 3
    assert leaks(loop(10, 10, 10, 10)) == []
    assert leaks(loop(10, 10, keep=True)) == []

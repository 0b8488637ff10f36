"""Blocks of a window, held against a count of every moment without numpy."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from memprof.analyze import analyze
from memprof.analyze.blocks import Blocks, blocks
from memprof.analyze.device import DeviceAnalysis
from memprof.trace import CATEGORIES
from tests.trace_builder import TraceBuilder


def busy(births: int, seed: int = 0) -> DeviceAnalysis:
    chance, build, alive = random.Random(seed), TraceBuilder(), []
    for _ in range(births):
        label = chance.choice(["", "parameter", "input"])
        alive.append(build.alloc(chance.randrange(0, 5_000), label=label))
        build.tick(chance.randrange(3))
        if chance.random() < 0.9:
            build.free(alive.pop(chance.randrange(len(alive))))
    return analyze(build.trace()).device("cpu")


def rectangles(found: Blocks) -> list[tuple[int, ...]]:
    columns = (found.begin_ns, found.end_ns, found.offset, found.offset + found.nbytes)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("first", "last"), [(0, -1), (150, 260)])
def test_no_block_lies_over_another_and_none_is_missing(seed: int, first: int, last: int) -> None:
    device = busy(300, seed)
    begin, end = int(device.time_ns[first]), int(device.time_ns[last])
    found = blocks(device.levels, begin, end)
    for one, other in combinations(rectangles(found), 2):
        apart = one[1] <= other[0] or other[1] <= one[0]
        assert apart or one[3] <= other[2] or other[3] <= one[2]
    times = device.levels.trace.events.time_ns
    rows = device.levels.trace.allocations
    expected = [
        index
        for index in range(len(rows))
        if times[rows.birth[index]] <= end
        and (rows.death[index] == len(times) or times[rows.death[index]] >= begin)
    ]
    assert found.allocations.tolist() == expected
    within = device.total[(device.time_ns >= begin) & (device.time_ns <= end)]
    assert found.height >= within.max()


def test_what_spans_the_window_is_hidden_and_told() -> None:
    build = TraceBuilder()
    build.alloc(4_000, label="parameter", name="w")
    build.tick(100)
    for size in (10, 20):
        build.free(build.alloc(size))
    device = analyze(build.trace()).device("cpu")
    begin, end = int(device.time_ns[1]), int(device.time_ns[-1])
    found = blocks(device.levels, begin, end, hide_spanning=True)
    assert found.nbytes.tolist() == [10, 20]
    assert (found.total, found.spanning, found.spanning_bytes) == (3, 1, 4_000)
    assert found.height == 20
    shown = blocks(device.levels, begin, end)
    assert dict(zip(shown.nbytes.tolist(), shown.offset.tolist(), strict=True)) == {
        4_000: 0,
        10: 4_000,
        20: 4_000,
    }


def test_of_too_many_the_largest_are_drawn() -> None:
    device = busy(400)
    span = int(device.time_ns[0]), int(device.time_ns[-1])
    found = blocks(device.levels, *span, most=50)
    sizes = sorted(device.levels.trace.allocations.nbytes.tolist(), reverse=True)
    assert sorted(found.nbytes.tolist(), reverse=True) == sizes[:50]
    assert found.left_out == len(sizes) - 50


def test_only_the_asked_categories_are_laid_out() -> None:
    device = busy(200)
    span = int(device.time_ns[0]), int(device.time_ns[-1])
    found = blocks(device.levels, *span, categories=["weights"])
    numbers = device.levels.attribution.category
    assert set(numbers[found.allocations].tolist()) == {CATEGORIES.index("weights")}
    assert len(found.allocations) == (numbers == CATEGORIES.index("weights")).sum()
    assert blocks(device.levels, *span, categories=[]).height == 0

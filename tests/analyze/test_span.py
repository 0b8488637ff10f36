"""What a part of a run held, against a sum made event by event."""

from __future__ import annotations

import pytest

from memprof.analyze import analyze
from memprof.analyze.span import Level, span
from memprof.trace import CATEGORIES
from tests.random_traces import RandomProgram
from tests.trace_builder import BEGIN_NS, TraceBuilder

FOREVER = 1 << 62


def held_at(trace: object, category: object, device: str, time_ns: int) -> dict[str, int]:
    """Adds up, row by row, what was alive at a time."""
    rows, events = trace.allocations, trace.events  # type: ignore[attr-defined]
    held = dict.fromkeys(CATEGORIES, 0)
    for event in range(len(events)):
        if events.time_ns[event] > time_ns:
            break
        row = events.allocation[event]
        if trace.strings[rows.device[row]] == device:  # type: ignore[attr-defined]
            sign = -1 if events.freed[event] else 1
            held[CATEGORIES[category[row]]] += sign * int(rows.nbytes[row])  # type: ignore[index]
    return held


@pytest.mark.parametrize("seed", range(4))
def test_against_a_sum(seed: int) -> None:
    trace = RandomProgram(seed).run(400).trace()
    analysis = analyze(trace)
    category = analysis.attribution.category
    times = trace.events.time_ns
    begin, end = int(times[len(times) // 4]), int(times[3 * len(times) // 4])
    for device in trace.devices:
        found = span(analysis, device, begin, end)
        inside = [int(time) for time in times if begin < time <= end]
        levels = [held_at(trace, category, device, time) for time in (begin, *inside)]
        assert found.start.by_category == levels[0]
        assert found.end.by_category == levels[-1]
        assert found.peak.bytes == max(sum(level.values()) for level in levels)
        assert found.peak.bytes == sum(found.peak.by_category.values())
        at_peak = held_at(trace, category, device, found.peak.time_ns)
        assert found.peak.by_category == at_peak
        for name, peak in found.category_peaks.items():
            assert peak.bytes == max(level[name] for level in levels)
            assert held_at(trace, category, device, peak.time_ns)[name] == peak.bytes


def test_growth_is_over_the_start() -> None:
    build = TraceBuilder()
    weight = build.alloc(400, label="parameter", name="weight")
    start = build.now
    with build.phase("forward"):
        build.free(build.alloc(100))
    build.free(weight)
    found = span(analyze(build.trace()), "cpu", start, FOREVER).growth()
    assert found.start == Level(start, 0, dict.fromkeys(CATEGORIES, 0))
    assert (found.peak.bytes, found.peak.by_category["temporary"]) == (100, 100)
    assert (found.end.bytes, found.end.by_category["weights"]) == (-400, -400)
    assert found.category_peaks["temporary"].bytes == 100
    assert found.category_peaks["weights"] == (0, start)


def test_several_processes_add_up_moment_by_moment() -> None:
    own, first, second = TraceBuilder(), TraceBuilder(), TraceBuilder()
    own.alloc(1000)
    for build, early in ((first, 0), (second, 10)):
        build.alloc(50, origin="before")
        build.tick(early)
        build.free(build.alloc(100))
        build.alloc(7)
    children = [analyze(first.trace()), analyze(second.trace())]
    found = span(analyze(own.trace()), "cpu", BEGIN_NS, FOREVER, children)
    assert found.peak.bytes == 1000 + 7 + 100
    assert found.end.bytes == 1000 + 7 + 7


def test_a_device_that_was_not_used() -> None:
    build = TraceBuilder()
    build.alloc(1)
    found = span(analyze(build.trace()), "cuda:0", BEGIN_NS, FOREVER)
    assert found.peak.bytes == found.end.bytes == found.start.bytes == 0

"""Fewer points than events, and still every peak, every sum and both ends exact."""

from __future__ import annotations

import io
import itertools
import random
from functools import cache

import numpy as np
import pytest

from memprof.analyze import Analysis
from memprof.trace import CATEGORIES, read
from tests.analyze.oracle import Replay, State
from tests.random_traces import RandomProgram
from tests.synthetic import synthetic_training
from tests.trace_builder import BEGIN_NS, TICK_NS, TraceBuilder


@cache
def case(seed: int) -> tuple[Analysis, dict[str, Replay]]:
    analysis = Analysis(RandomProgram(seed, devices=1 + seed % 2).run(400).trace())
    category = [CATEGORIES[number] for number in analysis.attribution.category]
    replays = {name: Replay(analysis.trace, category, name) for name in analysis.devices}
    return analysis, replays


def windows(seed: int, count: int) -> list[tuple[int, int, int]]:
    chance, (analysis, _) = random.Random(seed), case(seed)
    last = int(analysis.trace.events.time_ns[-1])
    found = []
    for _ in range(count):
        times = range(BEGIN_NS - 5 * TICK_NS, last + 5 * TICK_NS, chance.choice((1, TICK_NS)))
        begin, end = sorted(chance.choices(times, k=2))
        found.append((begin, end, chance.choice((1, 2, 7, 30))))
    return [*found, (BEGIN_NS, last, 10), (last + 10, last + 20, 3), (BEGIN_NS, BEGIN_NS, 4)]


def buckets_of(states: list[State], begin: int, end: int, buckets: int) -> list[list[State]]:
    edges = [begin + (end - begin) * number // buckets for number in range(buckets)] + [end + 1]
    return [
        [state for state in states if low <= state.time_ns < high]
        for low, high in itertools.pairwise(edges)
    ]


@pytest.mark.parametrize("seed", range(12))
def test_every_point_is_a_true_state_and_the_stack_sums_to_the_total(seed: int) -> None:
    analysis, replays = case(seed)
    for name, replay in replays.items():
        for begin, end, buckets in windows(seed, 8):
            line = analysis.device(name).downsample(begin, end, buckets)
            for point in range(len(line)):
                state = replay.after_event(int(line.event[point]))
                assert line.total[point] == state.total
                assert line.by_category[:, point].tolist() == list(state.by_category.values())
                assert line.total[point] == line.by_category[:, point].sum()
            assert line.by_category.shape == (len(CATEGORIES), len(line))
            assert (np.diff(line.time_ns) >= 0).all()


@pytest.mark.parametrize("seed", range(12))
def test_the_highest_and_the_lowest_of_every_bucket_are_there(seed: int) -> None:
    analysis, replays = case(seed)
    for name, replay in replays.items():
        for begin, end, buckets in windows(seed, 8):
            line = analysis.device(name).downsample(begin, end, buckets)
            shown = set(line.event[1:-1].tolist())
            for states in buckets_of(replay.window(begin, end), begin, end, buckets):
                for extreme in (max, min):
                    found = extreme(states, key=lambda s: s.total) if states else None
                    assert found is None or found.event in shown


@pytest.mark.parametrize("seed", range(12))
def test_both_ends_and_the_highest_of_every_category_are_there(seed: int) -> None:
    analysis, replays = case(seed)
    for name, replay in replays.items():
        for begin, end, buckets in windows(seed, 8):
            line = analysis.device(name).downsample(begin, end, buckets)
            states = replay.window(begin, end)
            before = [s for s in replay.states if s.event < 0 or s.time_ns < begin][-1]
            assert (line.time_ns[0], line.event[0]) == (begin, before.event)
            assert (line.time_ns[-1], line.event[-1]) == (end, [before, *states][-1].event)
            assert (line.total_events, line.shown) == (len(states), len(line) - 2)
            assert line.shown <= 2 * buckets + len(CATEGORIES) + 2
            for number, category in enumerate(CATEGORIES):
                if states:
                    expected = max(state.by_category[category] for state in states)
                    assert line.by_category[number, 1:-1].max() == expected


def test_few_events_are_all_shown() -> None:
    build = TraceBuilder()
    for size in (5, 3, 9):
        build.alloc(size)

    line = Analysis(build.trace()).device("cpu").downsample(buckets=2)

    assert line.total.tolist() == [0, 5, 8, 17, 17]
    assert line.event.tolist() == [-1, 0, 1, 2, 2]
    assert (line.seconds * 1e9).round().tolist() == [0, 1000, 2000, 3000, 3000]


def test_a_short_peak_of_one_event_survives_a_hundred_thousand() -> None:
    build = TraceBuilder()
    for number in range(3000):
        spike = 1 << 30 if number == 1234 else 10
        build.free(build.alloc(spike))
    device = Analysis(build.trace()).device("cpu")

    line = device.downsample(buckets=5)

    assert line.total.max() == 1 << 30
    assert line.shown < 20


@pytest.mark.parametrize("seed", range(12))
def test_hidden_categories_leave_the_choice_of_points_to_the_others(seed: int) -> None:
    analysis, replays = case(seed)
    chosen = random.Random(seed).sample(CATEGORIES, 1 + seed % 3)

    def visible(state: State) -> int:
        return sum(state.by_category[category] for category in chosen)

    for name, replay in replays.items():
        for begin, end, buckets in windows(seed, 8):
            line = analysis.device(name).downsample(begin, end, buckets, chosen)
            shown = set(line.event[1:-1].tolist())
            for states in buckets_of(replay.window(begin, end), begin, end, buckets):
                for extreme in (max, min):
                    assert not states or extreme(states, key=visible).event in shown
            assert line.total.tolist() == line.by_category.sum(axis=0).tolist()


def test_the_whole_trace_is_the_default_window() -> None:
    build = TraceBuilder()
    build.alloc(5)
    build.tick(10)
    trace = build.trace()

    line = Analysis(trace).device("cpu").downsample()

    assert line.time_ns.tolist() == [BEGIN_NS + TICK_NS * tick for tick in (0, 1, 11)]


def test_a_hundred_thousand_events_become_two_thousand_points() -> None:
    analysis = Analysis(read(io.BytesIO(synthetic_training(100_000))))
    device = analysis.device("cpu")

    line = device.downsample(buckets=1000)

    assert line.total_events == 100_000
    assert 1500 < line.shown <= 2000 + len(CATEGORIES) + 2
    assert line.total.max() == device.peak.requested_bytes
    for number, category in enumerate(CATEGORIES):
        assert line.by_category[number].max() == device.category_peaks[category].bytes

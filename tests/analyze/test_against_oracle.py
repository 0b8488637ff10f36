"""Random traces: the vectorised analysis and a plain replay agree on every number."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache

import pytest

from memprof.analyze import Analysis, DeviceAnalysis, grouped_top, module_table, step_table
from memprof.trace import CATEGORIES
from tests.analyze.oracle import Replay
from tests.random_traces import RandomProgram

SEEDS = range(24)


@cache
def analysis_of(seed: int) -> Analysis:
    return Analysis(RandomProgram(seed, devices=1 + seed % 3).run(30 + 60 * (seed % 4)).trace())


@cache
def pairs(seed: int) -> tuple[tuple[DeviceAnalysis, Replay], ...]:
    analysis = analysis_of(seed)
    category = [CATEGORIES[number] for number in analysis.attribution.category]
    devices = [analysis.device(name) for name in analysis.devices]
    return tuple((d, Replay(analysis.trace, category, d.name)) for d in devices)


def every_pair() -> Iterator[tuple[DeviceAnalysis, Replay]]:
    for seed in SEEDS:
        yield from pairs(seed)


def test_the_random_traces_have_several_devices_and_long_stories() -> None:
    counts = Counter(len(pairs(seed)) for seed in SEEDS)

    assert set(counts) == {1, 2, 3}
    assert max(len(replay.states) for _, replay in every_pair()) > 60


@pytest.mark.parametrize("seed", SEEDS)
def test_totals_and_categories_after_every_event(seed: int) -> None:
    for device, replay in pairs(seed):
        states = replay.states[1:]
        assert device.events.tolist() == replay.events
        assert device.total.tolist() == [state.total for state in states]
        for category in CATEGORIES:
            expected = [state.by_category[category] for state in states]
            assert device.series(category).tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_peaks(seed: int) -> None:
    for device, replay in pairs(seed):
        highest = replay.peak()
        assert (device.peak.event, device.peak.requested_bytes) == (highest.event, highest.total)
        assert device.peak.by_category == highest.by_category
        for category in CATEGORIES:
            assert device.category_peaks[category] == replay.category_peak(category)


@pytest.mark.parametrize("seed", SEEDS)
def test_moments_after_every_event_and_at_any_time(seed: int) -> None:
    chance = random.Random(seed)
    for device, replay in pairs(seed):
        trace = replay.trace
        for event in range(-1, len(trace.events)):
            moment, expected = device.at_event(event), replay.after_event(event)
            assert moment.by_category == expected.by_category
            assert moment.requested_bytes == expected.total
        for _ in range(20):
            time_ns = chance.randrange(trace.begin_ns - 9, int(trace.events.time_ns[-1]) + 9)
            expected = replay.at_time(time_ns)
            assert device.at_time(time_ns).by_category == expected.by_category
        assert device.end.by_category == replay.states[-1].by_category


@pytest.mark.parametrize("seed", SEEDS)
def test_live_sets(seed: int) -> None:
    for device, replay in pairs(seed):
        for event in range(-1, len(replay.trace.events), 7):
            live, alive = device.at_event(event).live(), replay.after_event(event).alive
            expected = sorted(alive, key=lambda allocation: (-alive[allocation], allocation))
            assert live.allocations.tolist() == expected
            assert [row.bytes for row in live.rows()] == [alive[n] for n in expected]
            assert [row.category for row in live.rows()] == [replay.category[n] for n in expected]
            assert [row.allocation for row in live.rows(3, 2)] == expected[2:5]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("depth", [1, 2, None])
def test_modules(seed: int, depth: int | None) -> None:
    for device, replay in pairs(seed):
        moment, state = device.peak, replay.peak()
        names = replay.trace.strings
        held: dict[str, Counter[str]] = defaultdict(Counter)
        count: Counter[str] = Counter()
        for allocation, nbytes in state.alive.items():
            path = names[analysis_of(seed).attribution.module[allocation]]
            module = ".".join(path.split(".")[:depth])
            held[module][replay.category[allocation]] += nbytes
            count[module] += 1

        rows = module_table(device, moment, depth)

        assert {row.module: row.count for row in rows} == count
        for row in rows:
            assert row.by_category == {c: held[row.module][c] for c in CATEGORIES}
            assert row.bytes == sum(held[row.module].values())
        assert [row.bytes for row in rows] == sorted((r.bytes for r in rows), reverse=True)
        assert moment.live().by_module(depth) == [(r.module, r.bytes, r.count) for r in rows]


@pytest.mark.parametrize("seed", SEEDS)
def test_groups_of_alike_tensors(seed: int) -> None:
    for device, replay in pairs(seed):
        alike: Counter[tuple[object, ...]] = Counter()
        for row in device.peak.live().rows():
            texts = [starred(text) for text in (row.module, row.name)]
            alike[(row.category, row.bytes, row.op, row.tensor, *texts)] += 1

        groups = grouped_top(device.peak, 1000)

        found = Counter(
            {
                (
                    g.category,
                    g.bytes_each,
                    g.op,
                    g.tensor,
                    starred(g.module),
                    starred(g.name),
                ): g.count
                for g in groups
            }
        )
        assert found == alike
        assert sum(group.bytes for group in groups) == replay.peak().total
        sizes = [group.bytes for group in groups]
        assert sizes == sorted(sizes, reverse=True)
        assert [g.bytes for g in grouped_top(device.peak, 3)] == sizes[:3]
        assert all(group.bytes == group.bytes_each * group.count for group in groups)


def starred(text: str) -> str:
    parts, previous = [], ""
    for letter in text:
        if not letter.isdigit():
            parts.append(letter)
        elif not previous.isdigit():
            parts.append("*")
        previous = letter
    return "".join(parts)


@pytest.mark.parametrize("seed", SEEDS)
def test_steps(seed: int) -> None:
    for device, replay in pairs(seed):
        begins = [*replay.trace.steps.begin_ns.tolist(), float("inf")]
        rows = step_table(device)
        assert [row.step for row in rows] == list(range(len(begins) - 1))
        for row in rows:
            before = [s for s in replay.states if s.event < 0 or s.time_ns < begins[row.step]]
            inside = [
                s for s in replay.states[1:] if begins[row.step] <= s.time_ns < begins[row.step + 1]
            ]
            states = [before[-1], *inside]
            highest = max(state.total for state in states)
            assert row.peak_bytes == highest
            assert row.end_bytes == states[-1].total
            assert device.at_event(row.peak_event).requested_bytes == highest


@pytest.mark.parametrize("seed", SEEDS)
def test_the_peak_with_workspaces(seed: int) -> None:
    for device, replay in pairs(seed):
        rows, names = replay.trace.workspaces, replay.trace.strings
        sums = [
            replay.at_time(int(rows.time_ns[row])).total + int(rows.nbytes[row])
            for row in range(len(rows.nbytes))
            if names[rows.device[row]] == device.name
        ]
        found = device.peak_with_workspaces

        assert found.bytes == max([replay.peak().total, *sums])
        assert replay.after_event(found.event).total + found.workspace == found.bytes

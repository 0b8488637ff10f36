"""What if: the same requests under other settings and capacities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from memprof.predict.allocator import AllocatorSettings, parse_settings
from memprof.predict.replay import Requests, replay, requests_of, verify
from memprof.predict.replay.scenario import Scene, play_scenario
from memprof.predict.replay.what_if import what_if
from tests.predict.allocator.programs import MIB
from tests.predict.allocator.reference import Rules
from tests.predict.replay.recorder import recorded
from tests.trace_builder import TraceBuilder

#: Allocation n is made by n and freed by ~n: segments of 60 MiB, each with 31 held, then 80.
HALVES = Requests(
    subjects=[0, ~0, 1, 2, ~2, 3, 4, ~4, 5, 6],
    nbytes=[60 * MIB, 31 * MIB, 60 * MIB, 31 * MIB, 60 * MIB, 31 * MIB, 80 * MIB],
)
EXPANDABLE = parse_settings("expandable_segments:True")


def scene(requests: Requests = HALVES) -> Scene:
    return Scene(requests, (), AllocatorSettings())


def test_levels_after_each_request() -> None:
    result = replay(HALVES)
    assert (result.reserved / MIB).tolist() == [60, 60, 60, 120, 120, 120, 180, 180, 180, 260]
    assert (result.allocated / MIB).tolist() == [60, 0, 31, 91, 31, 62, 122, 62, 93, 173]
    assert (result.fragmented / MIB).tolist() == [0, 0, 29, 29, 29, 58, 58, 58, 87, 87]
    assert result.fragmentation[2] == pytest.approx(29 / 60)
    assert (result.reserved_peak, result.allocated_peak) == (260 * MIB, 173 * MIB)
    addresses = result.addresses.tolist()
    assert addresses[0:6:2] == addresses[1:6:2]  # each 31 MiB where 60 had been freed
    assert len(set(addresses)) == 4


def test_a_replay_ends_with_the_first_failure() -> None:
    result = replay(HALVES, capacity=200 * MIB)
    failure = result.out_of_memory
    assert failure is not None
    assert (failure.place, failure.requested, failure.reserved) == (9, 80 * MIB, 180 * MIB)
    assert result.addresses[6] == -1
    assert result.retries == 1
    assert replay(HALVES, EXPANDABLE, 200 * MIB).out_of_memory is None


def test_requests_on_streams_and_in_private_pools() -> None:
    requests = Requests([0, ~0, 1, 2], [30 * MIB] * 3, streams=[0, 1, 0], pools={2: (0, 1)})
    result = replay(requests)
    assert result.reserved_peak == 90 * MIB
    assert {state.pool_id for state in result.segments} == {(0, 0), (0, 1)}


def test_empty_cache_among_the_requests() -> None:
    requests = Requests([0, ~0, 1], [30 * MIB, 40 * MIB], empty_cache=[2, 3])
    assert (replay(requests).reserved / MIB).tolist() == [30, 30, 40]


@pytest.mark.parametrize("seed", range(4))
def test_the_own_settings_are_replayed_from_the_own_beginning(seed: int) -> None:
    """At the capacity of the recording its failures come at the same requests."""
    capacity = 300 * MIB
    recording = recorded("", Rules(capacity=capacity), seed, skipped=60)
    found = verify(recording)
    first = found.result.out_of_memory
    own = play_scenario(Scene(found.requests, found.before, recording.settings), capacity=capacity)
    assert own.laid_out_anew == 0
    assert own.out_of_memory == first
    until = first.place if first else len(found.requests)
    np.testing.assert_array_equal(own.result.reserved[:until], found.result.reserved[:until])


@pytest.mark.parametrize("seed", range(4))
def test_more_memory_than_was_ever_reserved_is_enough(seed: int) -> None:
    recording = recorded("", Rules(capacity=math.inf), seed, skipped=60)
    found = verify(recording)
    held = Scene(found.requests, found.before, recording.settings)
    peak = found.result.reserved_peak
    enough = play_scenario(held, capacity=peak)
    assert enough.out_of_memory is None
    assert enough.result.reserved_peak == peak
    assert play_scenario(held, capacity=found.result.allocated_peak - 512).out_of_memory


def test_remedies_are_tried_where_a_request_fails() -> None:
    own, expandable, oversize = what_if(scene(), None, 200 * MIB, failed=False)
    assert own["verdict"] == "out of memory"
    assert expandable["verdict"] == "this OOM would not have happened with expandable_segments:True"
    assert oversize["verdict"] == "out of memory with max_split_size_mb:128 too"


def test_nothing_is_tried_where_everything_fits() -> None:
    assert what_if(scene(), None, None, failed=False) == []
    (own,) = what_if(scene(), None, 300 * MIB, failed=False)
    assert own["verdict"] == "all requests fit"


def test_a_remedy_is_not_praised_for_what_the_new_layout_does() -> None:
    """Held blocks in three segments: laid out anew they are in one, whatever the settings."""
    before = replay(Requests(HALVES.subjects[:-1], HALVES.nbytes)).segments
    requests = Requests([3], [31 * MIB, 31 * MIB, 31 * MIB, 80 * MIB])
    held = Scene(requests, before, AllocatorSettings())
    own, anew, expandable = what_if(held, EXPANDABLE, 200 * MIB, failed=False)
    assert own["out_of_memory"]["request"] == 0
    assert anew["settings"] == ""
    assert anew["laid_out_anew"] == 3
    assert "as they do once what was held is laid out anew" in expandable["verdict"]


def test_what_was_held_may_not_fit_at_all() -> None:
    before = replay(Requests(HALVES.subjects[:-1], HALVES.nbytes)).segments
    held = Scene(Requests([], [31 * MIB] * 3), before, AllocatorSettings())
    scenario = what_if(held, EXPANDABLE, 50 * MIB, failed=False)[-1]
    assert scenario["out_of_memory"]["request"] == -1
    assert scenario["verdict"].startswith("what was held at the beginning does not fit")


def test_requests_of_a_trace() -> None:
    build = TraceBuilder()
    build.alloc(7, device="cpu")
    first = build.alloc(30, device="cuda:0")
    build.alloc(0, device="cuda:0")  # an empty tensor asks for nothing
    second = build.alloc(40, device="cuda:0")
    build.free(first)
    build.free(second)
    requests = requests_of(build.trace(), "cuda:0")
    assert list(requests.subjects) == [0, 1, ~0, ~1]
    assert list(requests.nbytes) == [30, 40]
    assert len(requests.time_ns) == 4

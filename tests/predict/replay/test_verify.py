"""Recordings replayed: whole ones, and such as begin midway."""

from __future__ import annotations

import math

import pytest

from memprof.predict.allocator import BlockState, SegmentState
from memprof.predict.replay import Action, Event, Recording, verify
from tests.predict.allocator.programs import MIB, random_program
from tests.predict.allocator.reference import Rules
from tests.predict.replay.recorder import Recorder, recorded

CASES = [
    ("", {}),
    ("max_split_size_mb:20", {"max_split": 20 * MIB}),
    ("roundup_power2_divisions:4", {"divisions": 4}),
    ("expandable_segments:True", {"expandable": True}),
]


@pytest.mark.parametrize("skipped", [0, 50, 137, 300])
@pytest.mark.parametrize("capacity", [math.inf, 300 * MIB])
@pytest.mark.parametrize(("settings", "rules"), CASES)
@pytest.mark.parametrize("seed", range(4))
def test_a_recording_is_replayed_exactly(
    settings: str, rules: dict, capacity: float, skipped: int, seed: int
) -> None:
    recording = recorded(settings, Rules(**rules, capacity=capacity, space=1 << 40), seed, skipped)
    verification = verify(recording)
    assert verification.told == ()
    assert verification.exact


def test_differences_are_counted_and_the_first_are_told() -> None:
    """Two blocks change places: both allocations differ, and so do both blocks at the end."""
    events = [
        Event(Action.SEGMENT_ALLOC, 4096, 20 * MIB, 0),
        Event(Action.ALLOC, 4096 + 2 * MIB, 2 * MIB, 0),
        Event(Action.ALLOC, 4096, 2 * MIB, 0),
    ]
    blocks = (
        BlockState(4096, 2 * MIB, 2 * MIB, "active_allocated"),
        BlockState(4096 + 2 * MIB, 2 * MIB, 2 * MIB, "active_allocated"),
        BlockState(4096 + 4 * MIB, 16 * MIB, 0, "inactive"),
    )
    segment = SegmentState(4096, 20 * MIB, 0, False, blocks)
    found = verify(Recording(0, events, (segment,)))
    assert not found.exact
    assert [(told.event, told.recorded, told.replayed) for told in found.told] == [
        (1, "allocation at 0x201000", "allocation at 0x1000"),
        (2, "allocation at 0x1000", "allocation at 0x201000"),
    ]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"size": 4 * MIB}, "a segment of another size"),
        ({"blocks": "two free"}, "one free block"),
        ({"blocks": "too large"}, "a block of 512 bytes"),
    ],
)
def test_a_state_that_the_rules_cannot_lead_to(change: dict, rule: str) -> None:
    blocks = {
        None: [(1024, 700, "active_allocated"), (2 * MIB - 1024, 0, "inactive")],
        "two free": [(MIB, 0, "inactive"), (MIB, 0, "inactive")],
        "too large": [(1024, 400, "active_allocated"), (2 * MIB - 1024, 0, "inactive")],
    }[change.get("blocks")]
    if "size" in change:
        blocks[-1] = (4 * MIB - 1024, 0, "inactive")
    states, address = [], 4096
    for size, requested, use in blocks:
        states.append(BlockState(address, size, requested, use))
        address += size
    segment = SegmentState(4096, address - 4096, 0, True, tuple(states))
    found = verify(Recording(0, [], (segment,)))
    assert not found.exact
    assert any(told.replayed.startswith(rule) for told in found.told)


def test_what_a_program_gave_back_is_told_from_what_the_device_ran_short_of() -> None:
    """Only a call of empty_cache belongs to the program, and is part of every what-if."""
    for capacity in (math.inf, 300 * MIB):
        for seed in range(6):
            recorder = Recorder(Rules(capacity=capacity))
            recorder.run(seed)
            found = verify(recorder.recording(""))
            calls = sum(action == "empty_cache" for action, *_ in random_program(seed))
            assert len(found.requests.empty_cache) <= calls
            if capacity == math.inf:
                assert not found.result.retries


LOW, HIGH, SIZE = 1 << 32, 2 << 32, 30 * MIB


def whole(address: int, use: str, pool_id: tuple[int, int] = (0, 0)) -> SegmentState:
    requested = 0 if use == "inactive" else SIZE
    return SegmentState(
        address, SIZE, 0, False, (BlockState(address, SIZE, requested, use),), pool_id
    )


@pytest.mark.parametrize("skipped", range(9))
def test_frees_that_other_streams_delay(skipped: int) -> None:
    """What was freed and not yet free is not handed out again; at the end one still waits."""
    events = [
        Event(Action.SEGMENT_ALLOC, LOW, SIZE, 0),
        Event(Action.ALLOC, LOW, SIZE, 0),
        Event(Action.FREE_REQUESTED, LOW, SIZE, 0),
        Event(Action.SEGMENT_ALLOC, HIGH, SIZE, 0),
        Event(Action.ALLOC, HIGH, SIZE, 0),
        Event(Action.FREE_COMPLETED, LOW, SIZE, 0),
        Event(Action.ALLOC, LOW, SIZE, 0),
        Event(Action.FREE_REQUESTED, LOW, SIZE, 0),
    ]
    segments = (whole(LOW, "active_pending_free"), whole(HIGH, "active_allocated"))
    assert verify(Recording(0, events[skipped:], segments)).told == ()


@pytest.mark.parametrize("skipped", range(7))
def test_allocations_of_a_private_pool(skipped: int) -> None:
    """A graph capture takes new memory though as much is free outside its pool."""
    events = [
        Event(Action.SEGMENT_ALLOC, LOW, SIZE, 0),
        Event(Action.ALLOC, LOW, SIZE, 0),
        Event(Action.FREE_REQUESTED, LOW, SIZE, 0),
        Event(Action.FREE_COMPLETED, LOW, SIZE, 0),
        Event(Action.SEGMENT_ALLOC, HIGH, SIZE, 0),
        Event(Action.ALLOC, HIGH, SIZE, 0),
    ]
    segments = (whole(LOW, "inactive"), whole(HIGH, "active_allocated", (0, 1)))
    assert verify(Recording(0, events[skipped:], segments)).told == ()

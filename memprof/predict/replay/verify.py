"""A recording held against the model: are all addresses, segments and levels the same?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from memprof.predict.allocator.states import SegmentState
from memprof.predict.replay.differences import Differences, Mismatch
from memprof.predict.replay.follow import Follower
from memprof.predict.replay.player import Ints, ReplayResult
from memprof.predict.replay.possible import impossible
from memprof.predict.replay.recorded_requests import RecordedRequests, recorded_requests
from memprof.predict.replay.recording import Action, Recording, described
from memprof.predict.replay.requests import Requests
from memprof.predict.replay.rewind import ContradictionError, state_before


@dataclass(frozen=True)
class Verification:
    """What came of replaying a recording.

    Attributes:
        before: the state at its beginning.
        requests: what was asked of the allocator.
        result: what the model did.
        mismatches: how many addresses, device calls, levels and final blocks differ, and how
            much of the final state the rules cannot have led to.
        told: the first of them.
    """

    before: tuple[SegmentState, ...]
    requests: Requests
    result: ReplayResult
    mismatches: int
    told: tuple[Mismatch, ...]

    @property
    def exact(self) -> bool:
        """Whether everything is the same."""
        return self.mismatches == 0


def verify(recording: Recording) -> Verification:
    """Replays a recording under its own settings and compares everything it says.

    Where its events contradict the state at their end, that counts as a mismatch, and the state is
    all that is replayed.
    """
    differences = Differences()
    recording = _from_whole_request(recording)
    try:
        before = state_before(recording)
    except ContradictionError as contradiction:
        differences.event = contradiction.event
        differences.add(
            "nothing that the final state allows", described(recording.events[contradiction.event])
        )
        recording, before = replace(recording, events=()), recording.segments
    recorded = recorded_requests(recording, before)
    for rule, state in impossible(recording.segments, recording.settings):
        differences.add(rule, state)
    follower = Follower(recorded, recording.settings, before, differences)
    result = follower.play()
    _compare_addresses(recorded, result, differences)
    _compare_reserved(recorded, result, differences)
    _compare_states(recording, result, differences)
    requests = recorded.emptied_at(follower.emptied)
    return Verification(before, requests, result, differences.count, tuple(differences.told))


def _from_whole_request(recording: Recording) -> Recording:
    """Drops a first allocation whose segment may have been got in an event that is lost.

    Only where oversize blocks may not serve every request does that make a difference.
    """
    events = recording.events
    torn = bool(events) and events[0].action is Action.ALLOC
    if not (torn and recording.settings.max_split_bytes):
        return recording
    return replace(recording, events=events[1:])


def _compare_addresses(
    recorded: RecordedRequests, result: ReplayResult, differences: Differences
) -> None:
    for number in _unequal(np.array(recorded.addresses, np.int64), result.addresses):
        differences.event = recorded.made_by[number]
        replayed, known = result.addresses[number], recorded.addresses[number]
        differences.add(*map(_allocation, (replayed, known)))


def _allocation(address: int) -> str:
    return "out of memory" if address < 0 else f"allocation at {address:#x}"


def _compare_reserved(
    recorded: RecordedRequests, result: ReplayResult, differences: Differences
) -> None:
    for place in _unequal(recorded.reserved, result.reserved):
        differences.event = recorded.events[place]
        differences.add(
            *(f"{of[place]:,} bytes reserved" for of in (result.reserved, recorded.reserved))
        )


def _compare_states(recording: Recording, result: ReplayResult, differences: Differences) -> None:
    differences.event = len(recording.events)
    recorded, replayed = _pieces(recording.segments), _pieces(result.segments)
    for address, *piece in sorted(recorded ^ replayed):
        text = f"at {address:#x}: {', '.join(map(str, piece))}"
        there = (address, *piece) in replayed
        differences.add(text if there else "nothing", "nothing" if there else text)


def _unequal(recorded: Ints, replayed: Ints) -> list[int]:
    places: list[int] = np.flatnonzero(recorded != replayed).tolist()
    return places


def _pieces(segments: Iterable[SegmentState]) -> set[tuple[Any, ...]]:
    """Segments and blocks, flat; what waits for a stream counts as used."""
    found: set[tuple[Any, ...]] = set()
    for state in segments:
        kind = f"{'small' if state.small else 'large'} segment"
        found.add((state.address, kind, state.size, f"stream {state.stream}", *state.pool_id))
        for block in state.blocks:
            used = "free" if block.use == "inactive" else f"used for {block.requested}"
            found.add((block.address, "block", block.size, used))
    return found

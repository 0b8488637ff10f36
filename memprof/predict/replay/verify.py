"""A recording held against the model: are all addresses, segments and levels the same?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from memprof.predict.allocator.states import SegmentState
from memprof.predict.replay.player import Ints, Player, ReplayResult
from memprof.predict.replay.recorded_device import RecordedDevice
from memprof.predict.replay.recorded_requests import RecordedRequests, recorded_requests
from memprof.predict.replay.recording import Action, Recording
from memprof.predict.replay.requests import Requests
from memprof.predict.replay.rewind import state_before

#: Mismatches that are told one by one; all are counted.
TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One place where the model does not do what was recorded.

    Attributes:
        event: number of the recorded event; the number of events for the state after them.
        recorded, replayed: what was and what would be.
    """

    event: int
    recorded: str
    replayed: str


@dataclass(frozen=True)
class Verification:
    """What came of replaying a recording.

    Attributes:
        before: the state at its beginning.
        requests: what was asked of the allocator.
        result: what the model did.
        mismatches: how many addresses, device calls, levels and final blocks differ.
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

    Raises:
        TraceFileError: if the recording contradicts itself.
    """
    before = state_before(recording)
    recorded = recorded_requests(recording, before)
    comparison = _Comparison(recording, recorded)
    result = comparison.play(before)
    comparison.compare(before, result)
    return Verification(before, recorded.requests, result, comparison.count, tuple(comparison.told))


class _Comparison:
    """Counts the differences between a recording and its replay."""

    def __init__(self, recording: Recording, recorded: RecordedRequests) -> None:
        self.count = 0
        self.told: list[Mismatch] = []
        self._recording = recording
        self._recorded = recorded
        self._event = 0

    def play(self, before: tuple[SegmentState, ...]) -> ReplayResult:
        """Plays the requests; the device answers each as it did in the recording."""
        recorded, device = self._recorded, RecordedDevice(self._differs)
        requests, settings = recorded.requests, self._recording.settings
        player = Player(requests, settings, device=device, before=before)
        emptied, begin = set(requests.empty_cache), 0
        for place, caused in recorded.caused.items():
            self._play(player, begin, place)
            self._event = recorded.events[place]
            device.expect(caused)
            if place in emptied:
                player.allocator.empty_cache()
            begin = min(place + 1, len(requests))
            self._play(player, place, begin)
            device.settle()
        self._play(player, begin, len(requests))
        return player.result()

    def _play(self, player: Player, begin: int, end: int) -> None:
        while begin < end and not player.play(begin, end):
            begin = player.failed[-1].place + 1

    def compare(self, before: tuple[SegmentState, ...], result: ReplayResult) -> None:
        """Compares addresses, the reserved bytes after each request, and the final blocks."""
        self._compare_each("allocation at {:#x}", self._made(), self._addresses(), result.addresses)
        levels = self._reserved(sum(state.size for state in before))
        places = range(len(levels))
        self._compare_each("{:,} bytes reserved", places, levels, result.reserved)
        self._event = len(self._recording.events)
        recorded, replayed = _pieces(self._recording.segments), _pieces(result.segments)
        for piece in sorted(recorded ^ replayed):
            known, found = ("nothing", str(piece))[:: 1 if piece in replayed else -1]
            self._differs(found, known)

    def _compare_each(
        self, text: str, places: Sequence[int], recorded: Ints, replayed: Ints
    ) -> None:
        for number in np.flatnonzero(recorded != replayed).tolist():
            self._event = self._recorded.events[places[number]]
            self._differs(text.format(replayed[number]), text.format(recorded[number]))

    def _addresses(self) -> Ints:
        return np.array(self._recorded.addresses, np.int64)

    def _made(self) -> Sequence[int]:
        """For each allocation the place of the request that made it, 0 of those held before."""
        made = [0] * len(self._recorded.addresses)
        for place, subject in enumerate(self._recorded.requests.subjects):
            if subject >= 0:
                made[subject] = place
        return made

    def _reserved(self, reserved: int) -> Ints:
        """The bytes that were reserved after each request, by the recorded events alone."""
        levels = np.zeros(len(self._recorded.requests) + 1, np.int64)
        for place, events in self._recorded.caused.items():
            levels[place] = sum(_GROWTH.get(event.action, 0) * event.size for event in events)
        return (reserved + np.cumsum(levels))[:-1]

    def _differs(self, replayed: str, recorded: str) -> None:
        self.count += 1
        if len(self.told) < TOLD:
            self.told.append(Mismatch(self._event, recorded, replayed))


def _pieces(segments: Iterable[SegmentState]) -> set[tuple[Any, ...]]:
    """Segments and blocks, flat; what waits for a stream counts as used."""
    found: set[tuple[Any, ...]] = set()
    for state in segments:
        pool = "small" if state.small else "large"
        found.add((state.address, "segment", state.size, pool, state.stream, *state.pool_id))
        for block in state.blocks:
            used = block.use != "inactive"
            found.add(
                (
                    block.address,
                    "block",
                    block.size,
                    "used" if used else "free",
                    block.requested * used,
                )
            )
    return found


_GROWTH: Final = {
    Action.SEGMENT_ALLOC: 1,
    Action.SEGMENT_MAP: 1,
    Action.SEGMENT_FREE: -1,
    Action.SEGMENT_UNMAP: -1,
}

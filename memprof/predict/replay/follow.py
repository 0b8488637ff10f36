"""A replay that follows a recording: the device does what it did then, the model what it will."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from memprof.predict.allocator.settings import AllocatorSettings
from memprof.predict.allocator.states import SegmentState
from memprof.predict.replay.differences import Differences
from memprof.predict.replay.player import Player, ReplayResult
from memprof.predict.replay.recorded_device import RecordedDevice
from memprof.predict.replay.recorded_requests import RecordedRequests
from memprof.predict.replay.recording import RELEASES, Event


class Follower:
    """Plays recorded requests.

    Attributes:
        emptied: places before which unused memory was given back by `empty_cache`.
    """

    def __init__(
        self,
        recorded: RecordedRequests,
        settings: AllocatorSettings,
        before: tuple[SegmentState, ...],
        differences: Differences,
    ) -> None:
        self._recorded = recorded
        self._differences = differences
        self._device = RecordedDevice(differences.add, before, recorded.caused.values())
        self._player = Player(recorded.requests, settings, device=self._device, before=before)
        self.emptied = set(recorded.requests.empty_cache)

    def play(self) -> ReplayResult:
        """Plays all requests; the device answers each as it did in the recording."""
        begin, end = 0, len(self._recorded.requests)
        for place, caused in self._recorded.caused.items():
            self._play(begin, place)
            self._differences.event = self._recorded.events[place]
            self._device.expect(caused)
            if self._was_emptied(place, caused):
                self._player.allocator.empty_cache()
            begin = min(place + 1, end)
            failures = len(self._player.failed)
            self._play(place, begin)
            self._device.settle(failed=len(self._player.failed) > failures)
        self._play(begin, end)
        return self._player.result()

    def _play(self, begin: int, end: int) -> None:
        while begin < end and not self._player.play(begin, end):
            begin = self._player.failed[-1].place + 1

    def _was_emptied(self, place: int, caused: Sequence[Event]) -> bool:
        """Whether all that was unused was given back before the request.

        If the request could have been served without the device, that was not for its sake.
        """
        if place in self.emptied:
            return True
        released = [
            (event.address, event.size)
            for event in takewhile(lambda event: event.action in RELEASES, caused)
        ]
        if not released:
            return False
        if self._player.has_room(place):
            self.emptied.add(place)
        return released == self._player.allocator.unused()

"""A replay that follows a recording: the device does what it did then, the model what it will."""

from __future__ import annotations

from collections.abc import Sequence

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
        self._device = RecordedDevice(differences.add, before)
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
            self._play(place, begin)
            self._device.settle()
        self._play(begin, end)
        return self._player.result()

    def _play(self, begin: int, end: int) -> None:
        while begin < end and not self._player.play(begin, end):
            begin = self._player.failed[-1].place + 1

    def _was_emptied(self, place: int, caused: Sequence[Event]) -> bool:
        """Whether memory was given back before the request, not for its sake.

        It was, if the request could have been served without: then it came to new memory only
        because the cache was empty.
        """
        released = caused[0].action in RELEASES
        if released and place not in self.emptied and self._player.has_room(place):
            self.emptied.add(place)
        return place in self.emptied

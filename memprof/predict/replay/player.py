"""Requests played through an allocator: what it holds at each moment, and whether it all fits."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from memprof.errors import OutOfDeviceMemoryError
from memprof.predict.allocator.allocator import CachingAllocator
from memprof.predict.allocator.device import TOP, Device, SimulatedDevice
from memprof.predict.allocator.restore import restore
from memprof.predict.allocator.segments import Levels
from memprof.predict.allocator.settings import AllocatorSettings
from memprof.predict.allocator.sizes import rounded_request, segment_request
from memprof.predict.allocator.snapshot import segment_map
from memprof.predict.allocator.states import SegmentState
from memprof.predict.replay.requests import Requests

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """A request that failed.

    Attributes:
        place: its place in the requests.
        requested: bytes that it asked for.
        rounded: bytes of the block that would have served it.
        segment: bytes that were asked of the device for it.
        allocated, reserved: bytes at that moment, after all that was unused had been given back.
        fragmented: reserved bytes that nobody used and that could not be given back.
    """

    place: int
    requested: int
    rounded: int
    segment: int
    allocated: int
    reserved: int
    fragmented: int


@dataclass(frozen=True)
class ReplayResult:
    """What an allocator did with requests; arrays have a value after each of them.

    Attributes:
        settings, capacity: of the allocator; `capacity` in bytes, None for no limit.
        requested, allocated, reserved, fragmented: bytes; none after a request that failed.
        end: the levels at the end, with the peaks; they count what was there at the beginning.
        addresses: of each allocation; -1 of those that failed or were never made.
        segments: what the allocator held at the end.
        out_of_memory: the first request that failed; None where all were served.
        retries: how often unused memory was given back for the sake of a request.
    """

    settings: AllocatorSettings
    capacity: int | None
    requested: Ints
    allocated: Ints
    reserved: Ints
    fragmented: Ints
    end: Levels
    addresses: Ints
    segments: tuple[SegmentState, ...]
    out_of_memory: OutOfMemory | None
    retries: int

    @property
    def reserved_peak(self) -> int:
        """The most bytes ever reserved."""
        return self.end.reserved_peak

    @property
    def allocated_peak(self) -> int:
        """The most bytes ever allocated."""
        return self.end.allocated_peak

    @property
    def requested_peak(self) -> int:
        """The most bytes ever requested."""
        return self.end.requested_peak

    @property
    def fragmentation(self) -> npt.NDArray[np.float64]:
        """The share of the reserved bytes that is fragmented, 0 to 1, after each request."""
        return self.fragmented / np.maximum(self.reserved, 1)


def replay(
    requests: Requests,
    settings: AllocatorSettings | None = None,
    capacity: int | None = None,
    before: tuple[SegmentState, ...] = (),
) -> ReplayResult:
    """Plays requests through an allocator until the end, or until the first that fails.

    Args:
        requests: what is asked of it.
        settings: PyTorch's defaults if none are given.
        capacity: of the device in bytes; None for no limit.
        before: the state at the beginning; its used blocks are allocations 0, 1, ... by address.
    """
    player = Player(requests, settings or AllocatorSettings(), capacity, before=before)
    begin = 0
    for place in (*requests.empty_cache, len(requests)):
        if not player.play(begin, place):
            break
        if place in requests.empty_cache:
            player.allocator.empty_cache()
        begin = place
    return player.result()


class Player:
    """Plays requests through an allocator of its own.

    Attributes:
        allocator: the allocator.
        addresses: of the allocations that were made so far.
        failed: the requests that failed so far.
    """

    def __init__(
        self,
        requests: Requests,
        settings: AllocatorSettings,
        capacity: int | None = None,
        device: Device | None = None,
        before: tuple[SegmentState, ...] = (),
    ) -> None:
        self.allocator = CachingAllocator(settings, capacity, device or _device(capacity, before))
        restore(self.allocator, before)
        self.addresses = [-1] * len(requests.nbytes)
        held = sorted(self.allocator.live)
        self.addresses[: len(held)] = held
        self.failed: list[OutOfMemory] = []
        self._requests = requests
        self._capacity = capacity
        self._levels = [array("q") for _ in range(4)]

    def play(self, begin: int, end: int) -> bool:
        """Plays requests `begin` up to `end`, or up to one that fails; False if one does."""
        requested, allocated, reserved, releasable = self._levels
        allocator, addresses, subjects = self.allocator, self.addresses, self._requests.subjects
        levels, live, free = allocator.levels, allocator.live, allocator.free
        failures = len(self.failed)
        for place in range(begin, end):
            subject = subjects[place]
            if subject >= 0:
                addresses[subject] = self._allocate(place, subject)
            elif addresses[~subject] in live:
                free(addresses[~subject])
            requested.append(levels.requested)
            allocated.append(levels.allocated)
            reserved.append(levels.reserved)
            releasable.append(levels.releasable)
            if len(self.failed) > failures:
                return False
        return True

    def _allocate(self, place: int, number: int) -> int:
        """Gives the address of an allocation, -1 where it fails."""
        self._choose_pool(number)
        nbytes, stream = self._requests.nbytes[number], self._requests.stream_of(number)
        try:
            return self.allocator.malloc(nbytes, stream)
        except OutOfDeviceMemoryError:
            self.failed.append(self._failure(place, nbytes))
            return -1

    def has_room(self, place: int) -> bool:
        """Whether a request would be served without the device; True for one that is none."""
        subjects = self._requests.subjects
        number = subjects[place] if place < len(subjects) else -1
        if number < 0:
            return True
        self._choose_pool(number)
        nbytes, stream = self._requests.nbytes[number], self._requests.stream_of(number)
        return self.allocator.has_room(nbytes, stream)

    def _choose_pool(self, number: int) -> None:
        if self._requests.pools:
            self.allocator.private.only(self._requests.pools.get(number))

    def _failure(self, place: int, nbytes: int) -> OutOfMemory:
        levels, settings = self.allocator.levels, self.allocator.settings
        rounded = rounded_request(nbytes, settings)
        return OutOfMemory(
            place=place,
            requested=nbytes,
            rounded=rounded,
            segment=segment_request(rounded, settings),
            allocated=levels.allocated,
            reserved=levels.reserved,
            fragmented=levels.fragmented,
        )

    def result(self) -> ReplayResult:
        """What came of it so far."""
        requested, allocated, reserved, releasable = (
            np.frombuffer(level, np.int64) for level in self._levels
        )
        return ReplayResult(
            settings=self.allocator.settings,
            capacity=self._capacity,
            requested=requested,
            allocated=allocated,
            reserved=reserved,
            fragmented=reserved - allocated - releasable,
            end=replace(self.allocator.levels),
            addresses=np.array(self.addresses, np.int64),
            segments=segment_map(self.allocator),
            out_of_memory=self.failed[0] if self.failed else None,
            retries=self.allocator.retries,
        )


def _device(capacity: int | None, before: tuple[SegmentState, ...]) -> SimulatedDevice:
    """A device that has given away what was held before, and gives more at other addresses."""
    lowest = min((state.address for state in before), default=TOP)
    top = lowest if lowest > TOP // 2 else TOP
    return SimulatedDevice(capacity, top, sum(state.size for state in before))

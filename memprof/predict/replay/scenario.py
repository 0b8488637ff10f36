"""What if: the same requests under other settings, or on a device of another capacity."""

from __future__ import annotations

from dataclasses import dataclass, replace

from memprof.predict.allocator.settings import AllocatorSettings
from memprof.predict.allocator.states import SegmentState
from memprof.predict.replay.player import OutOfMemory, ReplayResult, replay
from memprof.predict.replay.requests import Requests


@dataclass(frozen=True, slots=True)
class Scene:
    """Requests and where they begin.

    Attributes:
        requests: their first allocations are the used blocks of `before`, by address.
        before: what an allocator of these settings held at the beginning.
        settings: of that allocator.
    """

    requests: Requests
    before: tuple[SegmentState, ...]
    settings: AllocatorSettings

    @property
    def held_before(self) -> int:
        """How many blocks were used at the beginning."""
        return sum(b.use != "inactive" for state in self.before for b in state.blocks)


@dataclass(frozen=True)
class Scenario:
    """One replay of a scene.

    Attributes:
        settings, capacity: what was assumed; `capacity` in bytes, None for no limit.
        laid_out_anew: how many blocks were held at the beginning and had to be allocated anew,
            because other settings would have put them elsewhere.
        result: what came of it; its first `laid_out_anew` requests are these.
    """

    settings: AllocatorSettings
    capacity: int | None
    laid_out_anew: int
    result: ReplayResult

    @property
    def out_of_memory(self) -> OutOfMemory | None:
        """The first request that failed, its place negative among what was laid out anew."""
        failed = self.result.out_of_memory
        return failed and replace(failed, place=failed.place - self.laid_out_anew)


def play_scenario(
    scene: Scene,
    settings: AllocatorSettings | None = None,
    capacity: int | None = None,
    *,
    anew: bool = False,
) -> Scenario:
    """Replays a scene under some settings, its own if none are given, at some capacity.

    Other settings would have put elsewhere what is held at the beginning: then, or if asked to,
    it is laid out anew, by address.
    """
    chosen = settings or scene.settings
    if chosen == scene.settings and not anew:
        result = replay(scene.requests, chosen, capacity, scene.before)
        return Scenario(chosen, capacity, 0, result)
    requests, held = scene.requests, scene.held_before
    whole = replace(
        requests,
        subjects=[*range(held), *requests.subjects],
        empty_cache=[place + held for place in requests.empty_cache],
        time_ns=(),
    )
    return Scenario(chosen, capacity, held, replay(whole, chosen, capacity))

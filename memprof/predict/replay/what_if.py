"""What would have been: the scenarios worth a replay, and what they say of a failed request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from memprof.predict.allocator.settings import AllocatorSettings, parse_settings
from memprof.predict.replay.failure import failure_document
from memprof.predict.replay.scenario import Scenario, Scene, play_scenario

#: Tried of its own accord where a request fails.
REMEDIES: Final = ("expandable_segments:True", "max_split_size_mb:128")


def what_if(
    scene: Scene, settings: AllocatorSettings | None, capacity: int | None, *, failed: bool
) -> list[dict[str, Any]]:
    """Replays a scene under what was asked, and under remedies where a request fails.

    Args:
        scene: the requests.
        settings: asked for; None for none but the scene's own.
        capacity: of the device in bytes; None for no limit.
        failed: whether a request failed when it was recorded.

    Returns:
        the scenarios. The first has the scene's own settings, where a capacity is asked for.
    """
    if settings is None and capacity is None:
        return []
    own = play_scenario(scene, None, capacity)
    fails = failed or own.out_of_memory is not None
    asked = [settings] if settings is not None else list(_remedies(scene)) if fails else []
    return [
        _document(scene, own, fails=False),
        *(_document(scene, play_scenario(scene, tried, capacity), fails=fails) for tried in asked),
    ]


def _remedies(scene: Scene) -> Iterator[AllocatorSettings]:
    for text in REMEDIES:
        settings = parse_settings(text)
        if settings != scene.settings:
            yield settings


def _document(scene: Scene, scenario: Scenario, *, fails: bool) -> dict[str, Any]:
    """Tells of a scenario; `fails` says that under the scene's own settings a request failed."""
    failure, end = scenario.out_of_memory, scenario.result.end
    return {
        "settings": str(scenario.settings),
        "capacity": scenario.capacity,
        "laid_out_anew": scenario.laid_out_anew,
        "requested_peak": end.requested_peak,
        "allocated_peak": end.allocated_peak,
        "reserved_peak": end.reserved_peak,
        "fragmented_peak": max(int(scenario.result.fragmented.max(initial=0)), end.fragmented),
        "retries": scenario.result.retries,
        "out_of_memory": failure and failure_document(failure, scenario.capacity, scene.requests),
        "verdict": _verdict(scenario, fails),
    }


def _verdict(scenario: Scenario, fails: bool) -> str:
    settings = str(scenario.settings) or "the default settings"
    if scenario.out_of_memory is None:
        return f"this OOM would not have happened with {settings}" if fails else "all requests fit"
    if scenario.out_of_memory.place < 0:
        return f"what was held at the beginning does not fit with {settings}"
    return f"out of memory with {settings} too" if fails else "out of memory"

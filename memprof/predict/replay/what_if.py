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
        the scenarios. The first has the scene's own settings; where a request fails then, and
        others serve it that had to lay out anew what was held, the second does that with the
        scene's own settings, so that one can tell what of it is the settings' doing.
    """
    if settings is None and capacity is None:
        return []
    own = play_scenario(scene, None, capacity)
    fails = failed or own.out_of_memory is not None
    if settings is not None and settings != scene.settings:
        others = [play_scenario(scene, settings, capacity)]
    elif settings is None and fails:
        others = [play_scenario(scene, remedy, capacity) for remedy in _remedies(scene)]
    else:
        others = []
    anew = fails and scene.held_before > 0 and any(not other.out_of_memory for other in others)
    if anew:
        others.insert(0, play_scenario(scene, None, capacity, anew=True))
    helps = not (anew and others[0].out_of_memory is None)
    return [
        _document(scene, own, _verdict(own, fails=False, helps=True)),
        *(_document(scene, other, _verdict(other, fails=fails, helps=helps)) for other in others),
    ]


def _remedies(scene: Scene) -> Iterator[AllocatorSettings]:
    for text in REMEDIES:
        settings = parse_settings(text)
        if settings != scene.settings:
            yield settings


def _document(scene: Scene, scenario: Scenario, verdict: str) -> dict[str, Any]:
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
        "verdict": verdict,
    }


def _verdict(scenario: Scenario, *, fails: bool, helps: bool) -> str:
    """Says what a scenario comes to.

    Args:
        scenario: the scenario.
        fails: whether a request fails under the scene's own settings.
        helps: False if it does not where only what was held is laid out anew.
    """
    settings = str(scenario.settings) or "the default settings"
    failure = scenario.out_of_memory
    if failure is not None and failure.place < 0:
        return f"what was held at the beginning does not fit with {settings}"
    if failure is not None:
        return f"out of memory with {settings} too" if fails else "out of memory"
    if not fails:
        return "all requests fit"
    if not helps:
        return "all requests fit, as they do once what was held is laid out anew"
    return f"this OOM would not have happened with {settings}"

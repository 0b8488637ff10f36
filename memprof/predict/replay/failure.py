"""A request that failed: when, for want of what, and whether for fragmentation's sake."""

from __future__ import annotations

from typing import Any

from memprof.predict.replay.player import OutOfMemory
from memprof.predict.replay.recording import Action, Recording
from memprof.predict.replay.requests import Requests


def failure_document(
    failure: OutOfMemory, capacity: int | None, requests: Requests
) -> dict[str, Any]:
    """Tells of a failed request.

    Returns:
        its place among the requests as `request`, -1 where what was there at the beginning did not
        fit; `fragmentation` says that the used bytes and the request would have fitted, had the
        unused ones not been scattered.
    """
    known = failure.place >= 0 and requests.time_ns
    needed = failure.allocated + failure.rounded
    return {
        "request": max(failure.place, -1),
        "time_ns": requests.time_ns[failure.place] if known else None,
        "requested": failure.requested,
        "segment": failure.segment,
        "allocated": failure.allocated,
        "reserved": failure.reserved,
        "fragmented": failure.fragmented,
        "capacity": capacity,
        "fragmentation": None if capacity is None else needed <= capacity,
    }


def capacity_at_failure(recording: Recording, failure: OutOfMemory) -> int | None:
    """Gives the bytes that the recorded process could have reserved when a request failed.

    These are what it had reserved and what the driver said was free.
    """
    free = (event.address for event in recording.events if event.action is Action.OOM)
    first = next(free, None)
    return None if first is None else failure.reserved + first

"""What `memprof replay` answers, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from memprof.predict.allocator.settings import AllocatorSettings
from memprof.predict.allocator.states import SegmentState
from memprof.predict.replay.failure import capacity_at_failure, failure_document
from memprof.predict.replay.player import ReplayResult, replay
from memprof.predict.replay.recording import Recording
from memprof.predict.replay.requests import Requests
from memprof.predict.replay.scenario import Scene
from memprof.predict.replay.series import series_document
from memprof.predict.replay.verify import verify
from memprof.predict.replay.what_if import what_if

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked beside what was.

    Attributes:
        settings: under which the requests are replayed too; None for their own.
        capacity: of the device in bytes; None for no limit, or what it was where a recorded
            request failed.
        points: of the series, about; 0 for all.
    """

    settings: AllocatorSettings | None = None
    capacity: int | None = None
    points: int = 1000


def recording_answer(recording: Recording, question: Question) -> dict[str, Any]:
    """Answers for a recording of PyTorch's."""
    found = verify(recording)
    scene = Scene(found.requests, found.before, recording.settings)
    failure = found.result.out_of_memory
    short = capacity_at_failure(recording, failure) if failure else None
    capacity = question.capacity or short
    return {
        "schema": SCHEMA,
        "device": f"cuda:{recording.device}",
        "events": len(recording.events),
        "exact": found.exact,
        "mismatches": found.mismatches,
        "told": [asdict(mismatch) for mismatch in found.told],
        **_levels(scene, found.result, question.points),
        "out_of_memory": failure and failure_document(failure, short, found.requests),
        "what_if": what_if(scene, question.settings, capacity, failed=failure is not None),
    }


def requests_answer(requests: Requests, device: str, question: Question) -> dict[str, Any]:
    """Answers for requests of which only order and sizes are known."""
    scene = Scene(requests, (), AllocatorSettings())
    return {
        "schema": SCHEMA,
        "device": device,
        "events": len(requests),
        "exact": None,
        "mismatches": None,
        "told": [],
        **_levels(scene, replay(requests), question.points),
        "out_of_memory": None,
        "what_if": what_if(scene, question.settings, question.capacity, failed=False),
    }


def _levels(scene: Scene, result: ReplayResult, points: int) -> dict[str, Any]:
    end = result.end
    return {
        "settings": str(scene.settings),
        "allocations": len(scene.requests.nbytes),
        "held_before": scene.held_before,
        "requested_peak": end.requested_peak,
        "allocated_peak": end.allocated_peak,
        "reserved_peak": end.reserved_peak,
        "fragmented_peak": max(int(result.fragmented.max(initial=0)), end.fragmented),
        "end": {
            "requested": end.requested,
            "allocated": end.allocated,
            "reserved": end.reserved,
            "fragmented": end.fragmented,
            "fragmentation": end.fragmented / max(end.reserved, 1),
        },
        "series": series_document(scene.requests, result, points),
        "segments": [_segment(state) for state in result.segments],
    }


def _segment(state: SegmentState) -> dict[str, Any]:
    used = [block for block in state.blocks if block.use != "inactive"]
    return {
        "address": state.address,
        "bytes": state.size,
        "used_bytes": sum(block.size for block in used),
        "pool": "small" if state.small else "large",
        "pool_id": list(state.pool_id),
        "stream": state.stream,
        "expandable": state.expandable,
        "blocks": [
            {
                "address": block.address,
                "bytes": block.size,
                "requested_bytes": block.requested,
                "state": block.use,
            }
            for block in state.blocks
        ],
    }

"""Levels over time, thinned to what a plot or a reader can take in."""

from __future__ import annotations

from typing import Any

import numpy as np

from memprof.predict.replay.player import Ints, ReplayResult
from memprof.predict.replay.requests import Requests


def series_document(requests: Requests, result: ReplayResult, points: int) -> dict[str, Any]:
    """Gives the levels after about `points` of the requests, after all of them for 0.

    Of each stretch between two points the highest reserved, allocated and fragmented level
    is among them.

    Returns:
        columns of equal length: `request` (its place), `time_ns` (None where unknown),
        `requested`, `allocated`, `reserved`, `fragmented` in bytes, and `fragmentation`, the
        fragmented share of the reserved bytes.
    """
    places = _places(result, points)
    times = np.asarray(requests.time_ns, np.int64)[places].tolist() if requests.time_ns else None
    return {
        "request": places.tolist(),
        "time_ns": times,
        "requested": result.requested[places].tolist(),
        "allocated": result.allocated[places].tolist(),
        "reserved": result.reserved[places].tolist(),
        "fragmented": result.fragmented[places].tolist(),
        "fragmentation": [round(share, 6) for share in result.fragmentation[places].tolist()],
    }


def _places(result: ReplayResult, points: int) -> Ints:
    count = len(result.reserved)
    if points == 0 or count <= points:
        return np.arange(count)
    bounds = np.linspace(0, count, max(points // 4, 1) + 1).astype(np.int64)
    stretches = list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
    chosen = {end - 1 for _, end in stretches}
    for level in (result.reserved, result.allocated, result.fragmented):
        chosen.update(begin + int(level[begin:end].argmax()) for begin, end in stretches)
    return np.array(sorted(chosen), np.int64)

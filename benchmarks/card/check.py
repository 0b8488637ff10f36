"""Traces a program on a card and holds the trace against three oracles that share no code with it.

PyTorch's statistics at every step boundary, its memory history for every single allocation, and
NVML for the device.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

import memprof
from memprof.analyze.analysis import Analysis, analyze
from memprof.analyze.out_of_memory import out_of_memory
from memprof.analyze.waterfall import UNEXPLAINED, waterfall
from memprof.trace import Trace, load

from .device import Card, Rehearsal, Statistics
from .programs import Make
from .sizes import Sizes

Boundary = tuple[int, Statistics]
MOST_NAMED = 10


def checked(make: Make, sizes: Sizes, card: Card | Rehearsal) -> dict[str, Any]:
    """Runs a program for some steps and says how its trace stands against the oracles."""
    card.forget()
    boundaries: list[Boundary] = []
    history: list[Mapping[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        with card.history(history):
            failure = _traced(path, make, sizes, card, boundaries)
        trace = load(path)
    return {"error": failure, **_found(trace, str(card.device), boundaries, history)}


def _traced(
    path: Path, make: Make, sizes: Sizes, card: Card | Rehearsal, boundaries: list[Boundary]
) -> str | None:
    tracing = memprof.trace(path)
    tracing.quiet = True
    try:
        with tracing:
            step = make(sizes, card.device)
            for _ in range(sizes.steps):
                step()
                told = card.statistics()
                if told is not None:
                    boundaries.append((time.perf_counter_ns(), told))
                memprof.step()
    except torch.OutOfMemoryError as error:
        return f"{type(error).__name__}: {error}"
    return None


def _found(
    trace: Trace, name: str, boundaries: list[Boundary], history: list[Mapping[str, Any]]
) -> dict[str, Any]:
    analysis = analyze(trace)
    device = analysis.device(name)
    peak = device.peak
    levels = waterfall(trace, name, peak)
    return {
        "recorder": trace.header["recorder"],
        "recorder_reason": trace.header["recorder_reason"],
        "allocations": len(trace.allocations),
        "remarks": [remark.text for remark in trace.warnings],
        "peak": {"requested_bytes": peak.requested_bytes, "by_category": peak.by_category},
        "unattributed_share": peak.by_category["unattributed"] / max(1, peak.requested_bytes),
        "boundaries": compared_with_statistics(analysis, name, boundaries),
        "history": compared_with_history(trace, name, history) if history else None,
        "waterfall": levels.document(),
        "waterfall_open_share": _open_share(levels.document()),
        "out_of_memory": out_of_memory(trace),
    }


def compared_with_statistics(
    analysis: Analysis, name: str, boundaries: Iterable[Boundary]
) -> list[dict[str, Any]]:
    """Bytes that the trace says are alive at each boundary, against the allocator's."""
    device = analysis.device(name)
    rows = []
    for time_ns, told in boundaries:
        moment = device.at_time(time_ns)
        rows.append(
            {
                "requested_bytes": told["requested_bytes.current"],
                "allocated_bytes": told["allocated_bytes.current"],
                "recorded_bytes": moment.requested_bytes,
                "categories_bytes": sum(moment.by_category.values()),
                "error_bytes": moment.requested_bytes - told["requested_bytes.current"],
                "peak_requested_bytes": told["requested_bytes.peak"],
            }
        )
    return rows


def compared_with_history(
    trace: Trace, name: str, history: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Every allocation of the history against every one of the trace, by size."""
    told = Counter(entry["size"] for entry in history if entry["action"] == "alloc")
    rows = trace.allocations
    number = trace.strings.index(name)
    recorded = Counter(rows.nbytes[(rows.device == number) & (rows.nbytes > 0)].tolist())
    missed, invented = told - recorded, recorded - told
    return {
        "allocations": told.total(),
        "missed": missed.total(),
        "invented": invented.total(),
        "missed_bytes": sum(size * count for size, count in missed.items()),
        "missed_most": missed.most_common(MOST_NAMED),
        "invented_most": invented.most_common(MOST_NAMED),
    }


def _open_share(levels: Mapping[str, Any]) -> float | None:
    """What is not explained between tensors and NVML, as a share of NVML's figure."""
    if not levels["device"]:
        return None
    left = sum(abs(gap["bytes"]) for gap in levels["gaps"] if gap["name"] == UNEXPLAINED)
    return left / levels["device"]

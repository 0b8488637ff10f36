"""The moment at which memory ran out: what was asked, what was free, and what filled the rest."""

from __future__ import annotations

import re
from typing import Any, Final

from memprof.analyze.analysis import Analysis, analyze
from memprof.analyze.moment import Moment
from memprof.analyze.waterfall import waterfall
from memprof.trace import Trace
from memprof.trace.cut import cut
from memprof.units import parse_bytes

LARGEST: Final = 5

_SIZE = r"([\d.]+ (?:[KMGTP]iB|bytes))"
# The words of PyTorch's messages: for CUDA, for CUDA before 2.0, and for the host.
_ASKED = re.compile(rf"[Tt]ried to allocate {_SIZE}")
_FREE = re.compile(rf"of which {_SIZE} is free|; {_SIZE} free;")
_TOTAL = re.compile(rf"total capacity of {_SIZE}|; {_SIZE} total capacity")
_DEVICE = re.compile(r"\bGPU (\d+)")


def out_of_memory(trace: Trace) -> dict[str, Any] | None:
    """Explains the last time that memory ran out; None if it never did.

    Categories are those of a trace that ends there: what was to happen afterwards did not.

    Returns:
        `message`, as PyTorch wrote it; `asked_bytes`, `free_bytes` and `total_bytes`, as the
        message says them (None where it does not); `times`, how often memory ran out; and of the
        `device`: `seconds`, `step`, `phase`, `module`, `by_category`, the `largest` tensors alive
        and the `waterfall`. Without any tensor recorded there is no `device`.
    """
    facts = [fact for fact in trace.facts if fact.kind == "out_of_memory"]
    if not facts:
        return None
    latest = facts[-1]
    message = str(latest.value.get("message", ""))
    found = {
        "times": len(facts),
        "message": message,
        "asked_bytes": _size(_ASKED, message),
        "free_bytes": _size(_FREE, message),
        "total_bytes": _size(_TOTAL, message),
    }
    until = cut(trace, latest.time_ns)
    analysis = analyze(until)
    if not analysis.devices:
        return {**found, "device": None}
    moment = analysis.device(_device(analysis, message)).at_time(latest.time_ns)
    return {**found, **_filled(until, moment, str(latest.value.get("module", "")))}


def _device(analysis: Analysis, message: str) -> str:
    """The device that the message names, else the fullest."""
    named = _DEVICE.search(message)
    device = f"cuda:{named[1]}" if named else "cpu"
    if device in analysis.devices:
        return device
    return max(analysis.devices, key=lambda name: analysis.device(name).end.requested_bytes)


def _filled(trace: Trace, moment: Moment, module: str) -> dict[str, Any]:
    return {
        "device": moment.device,
        "seconds": moment.seconds,
        "step": moment.step,
        "phase": moment.phase,
        "module": module or moment.module,
        "requested_bytes": moment.requested_bytes,
        "by_category": moment.by_category,
        "largest": [
            {
                "bytes": tensor.bytes,
                "category": tensor.category,
                "name": tensor.name,
                "module": tensor.module,
                "tensor": tensor.tensor,
                "stack": tensor.stack,
            }
            for tensor in moment.live().rows(LARGEST)
        ],
        "waterfall": waterfall(trace, moment.device, moment).document(),
    }


def _size(pattern: re.Pattern[str], message: str) -> int | None:
    found = pattern.search(message)
    if found is None:
        return None
    return parse_bytes(next(filter(None, found.groups())).replace("bytes", "B"))

"""Whether steps of the program allocate the same with the recording as without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from memprof.trace import Trace

QUANTITIES: Final = ("allocations", "bytes", "peak_bytes")
_NOTHING: Final = dict.fromkeys(QUANTITIES, 0)

Step = Mapping[str, Any]


def self_check(trace: Trace) -> dict[str, Any] | None:
    """Compares the steps that a self-check counted; None where none was asked for.

    Returns:
        `recorder`; `reason`, why nothing was compared, else ""; `paused`, the number of steps that
        went unrecorded; and for each of `devices` its `verdict`, `steps_without` and `steps_with`
        (the counts of each step, in bytes) and `without`, `added_allocations`, `added_bytes`,
        `added_peak_bytes`: what a recorded step would have been, and what it was beyond that,
        both averaged. Verdicts are "equal", "differs" and "unsteady": the steps without recording
        differ among themselves, so that nothing can be said of the others.
    """
    facts = list(trace.facts_of("self_check"))
    if not facts:
        return None
    steps: Sequence[Step] = facts[0].get("steps", ())
    names = sorted({name for step in steps for name in step["devices"]})
    return {
        "recorder": trace.header.get("recorder"),
        "reason": facts[0].get("reason", ""),
        "paused": facts[0].get("paused", 0),
        "devices": {name: _device(steps, name) for name in names},
    }


def _device(steps: Sequence[Step], name: str) -> dict[str, Any]:
    counts = [{**step, **step["devices"].get(name, _NOTHING)} for step in steps]
    without = [count for count in counts if not count["recorded"]]
    recorded = [count for count in counts if count["recorded"]]
    lines = {quantity: _line(without, quantity) for quantity in QUANTITIES}
    steady = all(_fits(without, quantity, *lines[quantity]) for quantity in QUANTITIES)
    added = {quantity: _added(recorded, quantity, *lines[quantity]) for quantity in QUANTITIES}
    differs = any(any(changes) for changes in added.values())
    return {
        "verdict": ("differs" if differs else "equal") if steady else "unsteady",
        "steps_without": [_counted(count) for count in without],
        "steps_with": [_counted(count) for count in recorded],
        "without": {q: _mean([r[q] for r in recorded]) - _mean(added[q]) for q in QUANTITIES},
        **{f"added_{quantity}": _mean(added[quantity]) for quantity in QUANTITIES},
    }


def _line(steps: Sequence[Step], quantity: str) -> tuple[int, int, int]:
    """A turn, the quantity in it, and its growth from turn to turn, as generation's caches grow."""
    first, second = steps[0], steps[1]
    return first["turn"], first[quantity], second[quantity] - first[quantity]


def _fits(steps: Sequence[Step], quantity: str, turn: int, value: int, growth: int) -> bool:
    return not any(_added(steps, quantity, turn, value, growth))


def _added(steps: Sequence[Step], quantity: str, turn: int, value: int, growth: int) -> list[int]:
    """What each step has beyond the line; the first two steps are neighbours."""
    return [step[quantity] - value - growth * (step["turn"] - turn) for step in steps]


def _counted(count: Step) -> dict[str, int]:
    return {key: count[key] for key in ("step", *QUANTITIES)}


def _mean(values: Sequence[int]) -> int:
    return round(sum(values) / len(values))

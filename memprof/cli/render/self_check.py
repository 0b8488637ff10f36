"""What a self-check found, in one line a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memprof.cli.render.parts import plural, size

Data = Mapping[str, Any]


def self_check_lines(check: Data | None) -> Iterator[str]:
    """Says what recording adds to a step; nothing if no check was asked for."""
    if check is None:
        return
    if check["reason"]:
        yield f"Self-check: not made: {check['reason']}"
        return
    for name, device in check["devices"].items():
        where = f" on {name}" if len(check["devices"]) > 1 else ""
        yield f"Self-check{where}: {_VERDICTS[device['verdict']](device)}"
    if not check["devices"]:
        yield "Self-check: not made: no step allocated anything"


def _equal(device: Data) -> str:
    return f"steps with and without recording allocate the same ({_counted(device['without'])})"


def _differs(device: Data) -> str:
    added, usual = device["added_bytes"], device["without"]["bytes"]
    share = f" ({100 * added / usual:.1f} %)" if usual else ""
    return (
        f"recording adds {plural(device['added_allocations'], 'allocation')}, "
        f"{size(added)}{share} to a step, {size(device['added_peak_bytes'])} to its peak"
    )


def _unsteady(device: Data) -> str:
    steps = sorted(device["steps_without"], key=lambda step: (step["bytes"], step["peak_bytes"]))
    return (
        "undecided: steps without recording differ among themselves, from "
        f"{_counted(steps[0])} to {_counted(steps[-1])}"
    )


def _counted(step: Data) -> str:
    return (
        f"{plural(step['allocations'], 'allocation')}, {size(step['bytes'])}, "
        f"peak {size(step['peak_bytes'])}"
    )


_VERDICTS = {"equal": _equal, "differs": _differs, "unsteady": _unsteady}

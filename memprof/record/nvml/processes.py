"""How much of a device this process uses, where NVML tells it and where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memprof.record.nvml.library import Library, NvmlError

Listed = Mapping[int, int | None]

LISTED, FOREIGN, ESTIMATED, UNKNOWN = "listed", "foreign", "estimated", "unknown"


@dataclass(frozen=True, slots=True)
class Before:
    """A device before this process used it.

    Attributes:
        pids: the processes that were listed.
        hidden_bytes: what was in use beyond what those had.
    """

    pids: frozenset[int]
    hidden_bytes: int


@dataclass(frozen=True, slots=True)
class Share:
    """What a device's memory is used for, at one moment.

    Attributes:
        own_bytes: by this process; None where it cannot be told.
        other_bytes: by the other processes that are listed with their bytes.
        how: `LISTED` under this process's number; `FOREIGN`: the only process that can be this
            one, under another number; `ESTIMATED` from what the device uses; `UNKNOWN`.
    """

    own_bytes: int | None
    other_bytes: int
    how: str


def running(library: Library, handle: Any) -> dict[int, int | None]:
    """The processes on a device and their bytes, None where the driver does not tell.

    One that computes and draws is in both of the driver's lists with the same bytes.
    """
    compute = library.first_of(
        lambda: library.ask("nvmlDeviceGetComputeRunningProcesses", handle),
        lambda: library.ask("nvmlDeviceGetComputeRunningProcesses_v2", handle),
    )
    try:
        graphics = library.ask("nvmlDeviceGetGraphicsRunningProcesses", handle)
    except NvmlError:
        graphics = []
    found: dict[int, int | None] = {}
    for process in (*compute, *graphics):
        told = [found.get(process.pid), process.usedGpuMemory]
        found[process.pid] = max((nbytes for nbytes in told if nbytes is not None), default=None)
    return found


def before(listed: Listed, used_bytes: int) -> Before:
    """Notes a device that this process does not use yet."""
    return Before(frozenset(listed), max(0, used_bytes - _sum(listed)))


def share(listed: Listed, pid: int, used_bytes: int, earlier: Before | None) -> Share:
    """Tells this process's part of a device that it uses.

    In a container the driver may list processes under the numbers that they have outside, or list
    this one without bytes, or nobody at all; under WDDM it never tells bytes.

    Args:
        listed: what `running` returns.
        pid: this process's number, as it sees it itself.
        used_bytes: of the whole device.
        earlier: the device before this process used it, where that was seen.
    """
    others = {number: nbytes for number, nbytes in listed.items() if number != pid}
    own = listed.get(pid)
    if own:
        return Share(own, _sum(others), LISTED)
    if pid not in listed and others:
        known = earlier.pids if earlier else frozenset()
        new = [number for number in others if number not in known]
        if len(new) > 1:
            return Share(None, _sum(others), UNKNOWN)
        if new and others[new[0]]:
            own = others.pop(new[0])
            return Share(own, _sum(others), FOREIGN)
        others = {number: nbytes for number, nbytes in others.items() if number not in new}
    hidden = earlier.hidden_bytes if earlier else 0
    return Share(max(0, used_bytes - hidden - _sum(others)), _sum(others), ESTIMATED)


def _sum(listed: Listed) -> int:
    return sum(nbytes or 0 for nbytes in listed.values())

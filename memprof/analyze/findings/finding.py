"""What a finding is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Memory that a run holds without need, and what to do about it.

    Attributes:
        kind: short and stable, for files; docs/findings.md has a row for each.
        bytes: bytes at stake.
        text: what holds them, one or two sentences for people, without the bytes at its beginning.
        fix: what to do, one sentence.
        device: the device that holds them.
        event: number of the trace's event after which it shows.
        allocations: indices of the trace's allocations that show it; empty where the bytes are
            those of no tensor.
    """

    kind: str
    bytes: int
    text: str
    fix: str
    device: str
    event: int
    allocations: tuple[int, ...] = ()

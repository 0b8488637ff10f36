"""The differences between a recording and its replay, counted, and the first of them told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Differences that are told one by one; all are counted.
TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One place where the model does not do what was recorded.

    Attributes:
        event: number of the recorded event; the number of events for the state after them.
        recorded, replayed: what was and what would be.
    """

    event: int
    recorded: str
    replayed: str


class Differences:
    """Collects them.

    Attributes:
        event: number of the event at hand.
        count: of all of them.
        told: the first.
    """

    def __init__(self) -> None:
        self.event = 0
        self.count = 0
        self.told: list[Mismatch] = []

    def add(self, replayed: str, recorded: str) -> None:
        """Counts what the model did, or would have, and what was recorded instead."""
        self.count += 1
        if len(self.told) < TOLD:
            self.told.append(Mismatch(self.event, recorded, replayed))

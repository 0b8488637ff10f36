"""A claim about CUDA, how it is put to the test, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..device import Card, Rehearsal

Bench = Card | Rehearsal
Seen = dict[str, Any]
CONFIRMED, CORRECTED, NOT_DECIDABLE = "confirmed", "corrected", "not decidable"
REHEARSED = "rehearsed on the CPU"


@dataclass(frozen=True, slots=True)
class Claim:
    """What is taken for granted, and where it comes from.

    Attributes:
        check: puts it to the test; its first line says the claim. It returns what it saw, and under
            `holds` whether the claim does, None with a `reason` where that cannot be told.
        source: what rests on it, or who says so.
        needs_cuda: there is nothing of it to run on the CPU.
    """

    check: Callable[[Bench], Seen]
    source: str
    needs_cuda: bool = True

    @property
    def name(self) -> str:
        """Of the check."""
        return self.check.__name__

    def answer(self, bench: Bench) -> Seen:
        """The claim, its source, what was measured and the verdict; a failed check has an error."""
        rehearsed = isinstance(bench, Rehearsal)
        try:
            seen = {} if rehearsed and self.needs_cuda else self.check(bench)
        except Exception as error:  # the next claim is another question
            seen = {"error": f"{type(error).__name__}: {error}", "reason": "the check failed"}
        holds, reason = seen.pop("holds", None), seen.pop("reason", None)
        told = {"claim": self.text, "source": self.source, "measured": seen}
        if rehearsed:
            holds, reason = None, REHEARSED
        verdict = {True: CONFIRMED, False: CORRECTED, None: NOT_DECIDABLE}[holds]
        return {**told, "verdict": verdict, **({} if holds is not None else {"reason": reason})}

    @property
    def text(self) -> str:
        """In words."""
        return (self.check.__doc__ or "").strip().splitlines()[0]


def compared(
    expected: Mapping[Any, float], seen: Mapping[Any, float], within: float = 0.01
) -> Seen:
    """Figures against those claimed, each within a part of the claimed one."""
    differs = [
        name for name, told in expected.items() if abs(seen[name] - told) > within * max(1, told)
    ]
    return {
        "holds": not differs,
        "expected": dict(expected),
        "seen": dict(seen),
        "differs": differs,
    }

"""What an estimate is: bytes, the formula they come from, and what was taken for granted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes that analysis says a category needs.

    Attributes:
        bytes: None where no formula applies; `formula` then says why.
        formula: how the bytes come about, with the run's own numbers in it.
        assumptions: what was taken for granted, each a sentence.
    """

    bytes: int | None
    formula: str
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Peak:
    """A moment that can be the highest of a run.

    Attributes:
        name: such as "loss", "backward", "optimizer".
        by_category: what each category holds then.
    """

    name: str
    by_category: Mapping[str, Estimate]

    @property
    def bytes(self) -> int | None:
        """Bytes of everything; None if a category is not known."""
        parts = [part.bytes for part in self.by_category.values()]
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None

    @property
    def known_bytes(self) -> int:
        """Bytes of the categories that are known."""
        return sum(part.bytes or 0 for part in self.by_category.values())

    @property
    def formula(self) -> str:
        """What is there, in bytes, or why that is not known."""
        unknown = next((part for part in self.by_category.values() if part.bytes is None), None)
        if unknown is not None:
            return unknown.formula
        held = {name: part.bytes for name, part in self.by_category.items() if part.bytes}
        return " + ".join(f"{nbytes:,} B of {name}" for name, nbytes in held.items())

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Everything that was taken for granted, each once."""
        parts = self.by_category.values()
        return tuple(dict.fromkeys(text for part in parts for text in part.assumptions))


def not_estimated(reason: str) -> Estimate:
    """An estimate that says why there is none."""
    return Estimate(None, f"not estimated: {reason}")


def total(parts: Iterable[Estimate], what: str) -> Estimate:
    """Adds estimates up; one that is unknown makes the sum unknown.

    Args:
        parts: estimates of distinct things.
        what: the formula of the sum where there is nothing to add.
    """
    known = list(parts)
    if len(known) == 1:
        return known[0]
    unknown = next((part for part in known if part.bytes is None), None)
    if unknown is not None:
        return unknown
    formulas = [part.formula for part in known if part.bytes] or [p.formula for p in known[:1]]
    formula = " + ".join(formulas) or what
    assumptions = tuple(dict.fromkeys(text for part in known for text in part.assumptions))
    return Estimate(sum(part.bytes or 0 for part in known), formula, assumptions)

"""What an estimate is: bytes, the formula they come from, and what was taken for granted."""

from __future__ import annotations

from collections.abc import Iterable
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

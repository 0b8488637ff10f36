"""One number of the article: what it says, what it is, and how far the two agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from samples.lab.table import Result, Row


class Verdict(Enum):
    """How the article's number fares."""

    RIGHT = "right"  # exact, or fairly rounded
    OPEN = "open"  # depends on what the article does not say, or on no formula
    WRONG = "wrong"


@dataclass(frozen=True)
class Value:
    """A number that a formula gives."""

    what: str
    amount: float
    unit: str = ""

    def __str__(self) -> str:
        number = f"{self.amount:,.0f}" if abs(self.amount) >= 1000 else f"{self.amount:.4g}"
        amount = f"{number} {self.unit}".strip()
        return f"{self.what}: {amount}" if self.what else amount


@dataclass(frozen=True)
class Evidence:
    """Rows of a script of the lab: those whose claim begins with `begin`."""

    script: str
    begin: str


@dataclass(frozen=True)
class Claim:
    """One number of the article.

    Attributes:
        number: from 1 to 38, in the order of the article.
        text: what the article says.
        formula: what it should be.
        values: what the formula gives.
        verdict: whether the article is right.
        remark: why, in a sentence or two.
        evidence: where the lab has measured it.
    """

    number: int
    text: str
    formula: str
    values: tuple[Value, ...]
    verdict: Verdict
    remark: str
    evidence: tuple[Evidence, ...] = ()


def block(claim: Claim, results: Mapping[str, Result]) -> str:
    """A claim as a section of Markdown."""
    lines = [
        f"### {claim.number}. {claim.text}",
        "",
        f"**{claim.verdict.value}** — {claim.remark}",
        "",
        f"- formula: {claim.formula}",
        f"- value: {'; '.join(map(str, claim.values)) or 'none'}",
    ]
    lines += dict.fromkeys(  # ranks and lengths that came to the same are said once
        f"- measured ([{each.script}](../samples/lab/{each.script}.py)): {told(row)}"
        for each in claim.evidence
        for row in found(each, results)
    )
    return "\n".join(lines) + "\n"


def found(evidence: Evidence, results: Mapping[str, Result]) -> list[Row]:
    """The measured rows that a claim points to.

    Raises:
        LookupError: if the lab has none.
    """
    rows = [
        row
        for row in results[evidence.script].rows
        if row.claim.startswith(evidence.begin) and row.measured is not None
    ]
    if not rows:
        raise LookupError(f"no measured row of {evidence.script} begins with {evidence.begin!r}")
    return rows


def told(row: Row) -> str:
    """What was measured, and how near the formula comes."""
    _, formula, estimate, measured, error = row.cells()
    if row.estimated is None:
        return f"{measured}: {formula}"
    if row.error == 0:
        return f"{measured}, exactly as computed: {formula}"
    if row.within is None:
        return f"{measured}, computed {estimate}: {formula}"
    return f"{measured}, computed {estimate} (error {error}): {formula}"

"""Writes docs/article.md from the formulas and from what the lab has measured.

python -m tools.article
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from samples.lab.table import Result
from tools.article import held, machines, serving, speed
from tools.article.claim import Claim, Verdict, block
from tools.lab import ROOT, known, read

PAGE = ROOT / "docs" / "article.md"
HEAD = """# The article, number by number

The article that memprof began with, *Why Memory Systems Matter in Large Language Models*, states 38
numbers. Here is each: what it should be by formula, whether the article is right, and what was
measured where a machine without a GPU can measure it. Made by `make lab` from `memprof.estimate`
and from [what the lab found](../samples/RESULTS.md); not to be edited by hand. Nothing here was
measured on a GPU: what is said of one is computed.

{counts}
"""
MEANING = {
    Verdict.RIGHT: "exact, or fairly rounded",
    Verdict.OPEN: "depends on what the article does not say, or has no formula",
    Verdict.WRONG: "wrong, or contradicts itself",
}


def main() -> int:
    PAGE.write_text(page(all_claims(), lab_results()), "utf-8")
    return 0


def all_claims() -> list[Claim]:
    """All claims in the order of the article."""
    parts = [speed.claims(), held.claims(), serving.claims(), machines.claims()]
    return sorted((claim for part in parts for claim in part), key=lambda claim: claim.number)


def lab_results() -> dict[str, Result]:
    """What the last run of the lab found, by script."""
    return {script: read(result) for script, result in known().items()}


def page(claims: list[Claim], results: Mapping[str, Result]) -> str:
    """The whole page."""
    return HEAD.format(counts=counts(claims)) + "".join(
        f"\n{block(claim, results)}" for claim in claims
    )


def counts(claims: list[Claim]) -> str:
    lines = ["| verdict | meaning | numbers |", "| --- | --- | --- |"]
    for verdict, meaning in MEANING.items():
        numbers = [str(claim.number) for claim in claims if claim.verdict is verdict]
        lines.append(f"| {verdict.value} | {meaning} | {len(numbers)}: {', '.join(numbers)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

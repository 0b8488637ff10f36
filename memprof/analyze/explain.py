"""One or two sentences on an estimate: the formula, and what the measurement has over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memprof.analyze.analysis import Analysis
from memprof.analyze.moment import Moment
from memprof.analyze.run_facts import RunFacts
from memprof.analyze.training import BACKWARD, has_phase
from memprof.estimate import Estimate, ModelSpec
from memprof.estimate.activations import LOSS_BYTES
from memprof.units import format_bytes


@dataclass(frozen=True)
class Case:
    """A category whose measurement and estimate are known.

    Attributes:
        analysis: the run.
        facts: what was run.
        moment: when the category was highest.
        category: which one.
        measured: bytes at that moment.
        estimate: what analysis says of it.
    """

    analysis: Analysis
    facts: RunFacts
    moment: Moment
    category: str
    measured: int
    estimate: Estimate

    @property
    def models(self) -> list[ModelSpec]:
        """The models as they were at that moment."""
        return self.facts.models_at(self.moment.time_ns)

    @property
    def error(self) -> int:
        """Measured minus estimated bytes."""
        return self.measured - (self.estimate.bytes or 0)


def explain(case: Case) -> str:
    """Says how an estimate comes about and why the measurement differs from it."""
    if case.estimate.bytes is None:
        return case.estimate.formula
    reason = _REASONS[case.category](case) if case.category in _REASONS else ""
    if case.error and not reason:
        reason = "why they differ is not known"
    return f"{case.estimate.formula}; {reason}" if reason else case.estimate.formula


def _weights(case: Case) -> str:
    highest = case.analysis.device(case.moment.device).category_peaks[case.category].bytes
    extra = highest - case.measured
    loading = f"while loading there were {format_bytes(extra)} more" if extra > 0 else ""
    if case.error > 0:
        return "modules that were never called hold the rest"
    return "a part lies on another device or came later" if case.error < 0 else loading


def _gradients(case: Case) -> str:
    if case.error > 0:
        return "old and new gradients are there at once, as while they are summed"
    if case.error < 0 and len(case.facts.trained(case.models)) > 1:
        return "the models had no gradients at the same time"
    if case.error < 0:
        return "not every parameter took part in a loss before the trace ended"
    return ""


def _optimizer_state(case: Case) -> str:
    if case.error > 0:
        return "an optimizer whose first step was not seen keeps the rest"
    if case.error < 0 and len(case.facts.optimizers) > 1:
        return "the optimizers did not all have their state at the same time"
    return "not every parameter has state yet" if case.error < 0 else ""


def _activations(case: Case) -> str:
    if case.error > 0 and not has_phase(case.analysis.trace, BACKWARD):
        return "a graph was recorded that no backward used: torch.no_grad() would save it"
    if case.error == LOSS_BYTES:
        return "the loss of the step before is still held"
    if case.error > 0:
        return "the program or the model keeps more than the graph of one call needs"
    return "a part was freed before the graph was whole" if case.error < 0 else ""


def _kv_cache(case: Case) -> str:
    if case.error > 0:
        return "more than one cache is held, or it was copied in between"
    return "the cache was cut or rearranged in between" if case.error < 0 else ""


_REASONS: dict[str, Callable[[Case], str]] = {
    "weights": _weights,
    "buffers": _weights,
    "gradients": _gradients,
    "optimizer_state": _optimizer_state,
    "activations": _activations,
    "kv_cache": _kv_cache,
}

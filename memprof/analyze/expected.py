"""Which formula speaks for a category, and with which numbers of the run."""

from __future__ import annotations

from memprof.analyze.analysis import Analysis
from memprof.analyze.generation import cache_estimate, state_estimate
from memprof.analyze.moment import Moment
from memprof.analyze.run_facts import RunFacts
from memprof.analyze.training import BACKWARD, activation_estimate, has_phase
from memprof.estimate import Estimate, ModelSpec, not_estimated
from memprof.estimate.estimate import LEFT_OPEN
from memprof.estimate.gradients import gradients
from memprof.estimate.optimizer import total_state
from memprof.estimate.result import total
from memprof.estimate.weights import buffers, weights

NO_MODEL = "no model was called while the trace ran"

NOT_TRAINED = "no model was called with autograd on"


def at_high_water(analysis: Analysis, facts: RunFacts, moment: Moment, category: str) -> Estimate:
    """What a category needs where it is highest.

    Args:
        analysis: the run.
        facts: what was run.
        moment: when the category was highest.
        category: the category.
    """
    models, device = facts.models_at(moment.time_ns), moment.device
    if category in ("weights", "buffers"):
        return _held(models, category, device)
    if category == "gradients":
        return _gradients(analysis, facts, models, device)
    if category == "optimizer_state":
        spec = [optimizer for _, optimizer in facts.optimizers]
        return total_state(spec, device)
    if category == "kv_cache":
        return cache_estimate(analysis, facts, models)
    if category == "recurrent_state":
        return state_estimate(analysis, facts, models)
    if category == "activations":
        return activation_estimate(analysis, facts, models, moment)
    return not_estimated(LEFT_OPEN[category])


def _held(models: list[ModelSpec], category: str, device: str) -> Estimate:
    if not models:
        return not_estimated(NO_MODEL)
    formula = weights if category == "weights" else buffers
    return total((formula(model, device) for model in models), "")


def _gradients(
    analysis: Analysis, facts: RunFacts, models: list[ModelSpec], device: str
) -> Estimate:
    if facts.optimizers and not models:
        return not_estimated(NO_MODEL)
    if not facts.optimizers and not has_phase(analysis.trace, BACKWARD):
        return Estimate(0, "no backward ran, so there are no gradients")
    return total((gradients(model, device) for model in facts.trained(models)), NOT_TRAINED)

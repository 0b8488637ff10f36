"""Which formula speaks for a category, and with which numbers of the run."""

from __future__ import annotations

from memprof.analyze.analysis import Analysis
from memprof.analyze.generation import cache_estimate, state_estimate
from memprof.analyze.moment import Moment
from memprof.analyze.run_facts import RunFacts
from memprof.analyze.training import activation_estimate
from memprof.estimate import Estimate, not_estimated
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
    if category == "weights":
        return total((weights(model, device) for model in models), NO_MODEL)
    if category == "buffers":
        return total((buffers(model, device) for model in models), NO_MODEL)
    if category == "gradients":
        return total((gradients(model, device) for model in facts.trained(models)), NOT_TRAINED)
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

"""The estimate of a whole run from a model and what is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memprof.estimate.gradients import gradients
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.result import Estimate, not_estimated
from memprof.estimate.run_spec import RunSpec
from memprof.estimate.weights import buffers, weights


@dataclass(frozen=True)
class RunEstimate:
    """What a run needs.

    Attributes:
        model: what is run.
        run: how it is run.
        by_category: each category at its own highest.
    """

    model: ModelSpec
    run: RunSpec
    by_category: Mapping[str, Estimate]


def estimate(model: object, run: RunSpec) -> RunEstimate:
    """Says by closed forms how much memory a run needs.

    Args:
        model: a `ModelSpec`, the "model" fact of a trace, or a Hugging Face configuration.
        run: what is done with it.

    Raises:
        UsageError: if the model's configuration lacks what the formulas need.
    """
    spec = _spec(model)
    train = run.mode == "train"
    return RunEstimate(
        spec,
        run,
        {
            "weights": weights(spec),
            "buffers": buffers(spec),
            "gradients": gradients(spec) if train else not_estimated("nothing is trained"),
        },
    )


def _spec(model: object) -> ModelSpec:
    if isinstance(model, ModelSpec):
        return model
    if isinstance(model, Mapping) and "parameters" in model and "root" in model:
        return ModelSpec.from_fact(model)
    return ModelSpec.from_config(model)

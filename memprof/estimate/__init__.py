"""Closed forms: what a run should need, worked out from shapes and configurations alone."""

from memprof.estimate.estimate import RunEstimate, estimate
from memprof.estimate.model_spec import ModelSpec, TensorSpec
from memprof.estimate.optimizer import OptimizerSpec
from memprof.estimate.result import Estimate, not_estimated
from memprof.estimate.run_spec import RunSpec

__all__ = [
    "Estimate",
    "ModelSpec",
    "OptimizerSpec",
    "RunEstimate",
    "RunSpec",
    "TensorSpec",
    "estimate",
    "not_estimated",
]

"""Closed forms: what a run should need, worked out from shapes and configurations alone."""

from memprof.estimate.device import DeviceEstimate
from memprof.estimate.estimate import RunEstimate, estimate
from memprof.estimate.hardware import Hardware, all_hardware, hardware
from memprof.estimate.model_spec import ModelSpec, TensorSpec
from memprof.estimate.optimizer import OptimizerSpec
from memprof.estimate.result import Estimate, Peak, not_estimated
from memprof.estimate.run_parts import CacheOptions, Lora, Parallelism
from memprof.estimate.run_spec import RunSpec

__all__ = [
    "CacheOptions",
    "DeviceEstimate",
    "Estimate",
    "Hardware",
    "Lora",
    "ModelSpec",
    "OptimizerSpec",
    "Parallelism",
    "Peak",
    "RunEstimate",
    "RunSpec",
    "TensorSpec",
    "all_hardware",
    "estimate",
    "hardware",
    "not_estimated",
]

"""Closed forms: what a run should need, worked out from shapes and configurations alone."""

from memprof.estimate.device import DeviceEstimate
from memprof.estimate.estimate import RunEstimate, estimate
from memprof.estimate.hardware import Hardware, all_hardware, hardware
from memprof.estimate.model_spec import ModelSpec, TensorSpec
from memprof.estimate.optimizer import OptimizerSpec
from memprof.estimate.result import Estimate, Peak, not_estimated
from memprof.estimate.run_parts import (
    CacheOptions,
    Drafting,
    Lora,
    Offloading,
    Parallelism,
    Request,
    Serving,
)
from memprof.estimate.run_spec import RunSpec

__all__ = [
    "CacheOptions",
    "DeviceEstimate",
    "Drafting",
    "Estimate",
    "Hardware",
    "Lora",
    "ModelSpec",
    "Offloading",
    "OptimizerSpec",
    "Parallelism",
    "Peak",
    "Request",
    "RunEstimate",
    "RunSpec",
    "Serving",
    "TensorSpec",
    "all_hardware",
    "estimate",
    "hardware",
    "not_estimated",
]

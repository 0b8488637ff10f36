"""The estimate of a whole run from a model and what is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memprof.estimate.activations import activations
from memprof.estimate.cache_layout import cache_layout, has_recurrent_layers
from memprof.estimate.dtypes import itemsize
from memprof.estimate.gradients import gradients, trained
from memprof.estimate.kv_cache import CacheSpec, Call, kv_cache
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.optimizer import OptimizerSpec, optimizer_state
from memprof.estimate.peaks import training_peaks
from memprof.estimate.recurrent_state import STATES, recurrent_state
from memprof.estimate.result import Estimate, not_estimated
from memprof.estimate.run_spec import RunSpec
from memprof.estimate.weights import buffers, weights

#: What is never estimated, and why.
LEFT_OPEN: Mapping[str, str] = {
    "inputs": "how many batches are held at once is the program's affair",
    "communication": "no formula for what processes exchange",
    "temporary": "what operations hold for a moment depends on their kernels",
    "unattributed": "what nobody can name has no formula",
}


@dataclass(frozen=True)
class RunEstimate:
    """What a run needs.

    Attributes:
        model: what is run.
        run: how it is run.
        parameters: number of parameters, tied ones once; None where it is not known.
        by_category: each category at its own highest.
        peaks: everything at the moments that can be the highest: "loss", "backward", "optimizer"
            of a training step; "generation" otherwise.
        kv_cache_bytes_per_token: of one sequence, None where there is no such cache.
    """

    model: ModelSpec
    run: RunSpec
    parameters: int | None
    by_category: Mapping[str, Estimate]
    peaks: Mapping[str, Estimate]
    kv_cache_bytes_per_token: int | None

    @property
    def peak_bytes(self) -> int | None:
        """The highest of `peaks`; None if one of them is not known."""
        found = [peak.bytes for peak in self.peaks.values()]
        known = [nbytes for nbytes in found if nbytes is not None]
        return max(known) if known and len(known) == len(found) else None

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Everything that was taken for granted, each once."""
        parts = [*self.by_category.values(), *self.peaks.values()]
        return tuple(dict.fromkeys(text for part in parts for text in part.assumptions))


def estimate(model: object, run: RunSpec) -> RunEstimate:
    """Says by closed forms how much memory a run needs.

    Args:
        model: a `ModelSpec`, the "model" fact of a trace, or a Hugging Face configuration.
        run: what is done with it.

    Raises:
        UsageError: if the model's configuration lacks what the formulas need.
    """
    spec = _spec(model, run)
    optimizer = _optimizer(spec, run)
    cache = _cache_spec(spec, run)
    by_category = {**_held(spec, run, optimizer), **_generated(spec, run, cache)}
    by_category |= {name: not_estimated(reason) for name, reason in LEFT_OPEN.items()}
    return RunEstimate(
        model=spec,
        run=run,
        parameters=sum(each.elements for each in spec.unique_parameters()) or None,
        by_category=by_category,
        peaks=_peaks(spec, run, optimizer, by_category),
        kv_cache_bytes_per_token=cache.bytes_per_token if isinstance(cache, CacheSpec) else None,
    )


def _spec(model: object, run: RunSpec) -> ModelSpec:
    if isinstance(model, ModelSpec):
        return model.with_dtype(run.dtype) if run.dtype else model
    if isinstance(model, Mapping) and "parameters" in model and "root" in model:
        spec = ModelSpec.from_fact(model)
        return spec.with_dtype(run.dtype) if run.dtype else spec
    return ModelSpec.from_config(model, run.dtype)


def _optimizer(model: ModelSpec, run: RunSpec) -> OptimizerSpec | None:
    if run.mode != "train" or not run.optimizer:
        return None
    return OptimizerSpec.of_model(run.optimizer, run.optimizer_options, trained(model))


def _held(model: ModelSpec, run: RunSpec, optimizer: OptimizerSpec | None) -> dict[str, Estimate]:
    train = run.mode == "train"
    nothing = Estimate(0, "nothing is trained")
    if not model.parameters:
        unknown = not_estimated(f'no formula for the weights of "{model.model_type}" models')
        return dict.fromkeys(
            ("weights", "buffers", "gradients", "optimizer_state", "activations"), unknown
        )
    return {
        "weights": weights(model),
        "buffers": buffers(model),
        "gradients": gradients(model) if train else nothing,
        "optimizer_state": optimizer_state(optimizer) if optimizer else nothing,
        "activations": activations(model, run),
    }


def _generated(model: ModelSpec, run: RunSpec, cache: CacheSpec | str) -> dict[str, Estimate]:
    nothing = Estimate(0, "nothing is generated")
    if run.mode == "train":
        return {"kv_cache": nothing, "recurrent_state": nothing}
    if model.model_type in STATES:
        element = itemsize(run.autocast or model.dtype or "float32")
        state = recurrent_state(model.config, run.batch, element)
        return {"kv_cache": Estimate(0, "no keys and values"), "recurrent_state": state}
    if has_recurrent_layers(model.config):
        nothing = recurrent_state(model.config, run.batch, itemsize(model.dtype or "float32"))
    if isinstance(cache, str):
        return {"kv_cache": not_estimated(cache), "recurrent_state": nothing}
    calls = [Call(run.batch, run.tokens, run.context)]
    return {"kv_cache": kv_cache(cache, calls), "recurrent_state": nothing}


def _cache_spec(model: ModelSpec, run: RunSpec) -> CacheSpec | str:
    if model.model_type in STATES:
        return "its state does not grow"
    layout = cache_layout(model.config)
    if isinstance(layout, str):
        return layout
    element = itemsize(run.dtype or model.dtype or "float32")
    return CacheSpec(layout, element, slots=run.cache_length)


def _peaks(
    model: ModelSpec,
    run: RunSpec,
    optimizer: OptimizerSpec | None,
    by_category: Mapping[str, Estimate],
) -> dict[str, Estimate]:
    if run.mode == "train":
        return training_peaks(model, run, optimizer)
    names = ("weights", "buffers", "kv_cache", "recurrent_state")
    unknown = next((by_category[n] for n in names if by_category[n].bytes is None), None)
    held = sum(by_category[name].bytes or 0 for name in names)
    whole = Estimate(held, "weights, buffers and cache", ("temporary memory comes on top",))
    return {"generation": unknown or whole}

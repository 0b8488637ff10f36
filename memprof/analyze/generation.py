"""How a run generated: the calls that filled its cache, and what kind of cache that was."""

from __future__ import annotations

import numpy as np

from memprof.analyze.analysis import Analysis
from memprof.analyze.run_facts import RunFacts, Value
from memprof.estimate import Estimate, ModelSpec, not_estimated
from memprof.estimate.cache_layout import (
    CacheLayer,
    CacheLayout,
    cache_layout,
    decoder_config,
    has_recurrent_layers,
)
from memprof.estimate.dtypes import itemsize
from memprof.estimate.kv_cache import CacheSpec, Call, kv_cache
from memprof.estimate.recurrent_state import STATES, recurrent_state
from memprof.trace import CATEGORIES, Trace


def cache_estimate(analysis: Analysis, facts: RunFacts, models: list[ModelSpec]) -> Estimate:
    """The most that the cache of keys and values takes in a run."""
    trace = analysis.trace
    calls = generating_calls(trace)
    stateful = [model.model_type in STATES for model in facts.generating(models)]
    if not calls or (stateful and all(stateful)):
        return Estimate(0, "nothing was generated with a cache of keys and values")
    found = cache_spec(analysis, facts, models)
    return not_estimated(found) if isinstance(found, str) else kv_cache(found, calls)


def cache_spec(analysis: Analysis, facts: RunFacts, models: list[ModelSpec]) -> CacheSpec | str:
    """The cache that a run used; where the trace does not tell, the reason why."""
    model = generating_model(facts, models)
    if isinstance(model, str):
        return model
    if len(facts.caches) != 1:
        return f"the run used {len(facts.caches)} kinds of cache of transformers"
    cache, layout = facts.caches[0], cache_layout(model.config)
    if isinstance(layout, str):
        return layout
    kind = f"{cache.get('class')} {cache.get('layer_class')}"
    if "Quant" in kind or "Offload" in kind:
        return f"no formula for a {cache.get('class')}"
    return CacheSpec(
        layout=_as_cached(layout, cache),
        itemsize=cached_itemsize(model, facts),
        slots=cache.get("max_length"),
        encoder_tokens=_encoder_tokens(analysis.trace) if layout.cross else 0,
        reordered=_reordered(analysis, "kv_cache"),
    )


def state_estimate(analysis: Analysis, facts: RunFacts, models: list[ModelSpec]) -> Estimate:
    """What recurrent states take in a run."""
    stateful = [
        model
        for model in facts.generating(models)
        if model.model_type in STATES or has_recurrent_layers(model.config)
    ]
    batches = analysis.trace.phases.batch[sorted(facts.cached_phases)]
    if not stateful:
        return Estimate(0, "no model with a recurrent state generated")
    model = stateful[-1]
    batch = int(batches.max(initial=0))
    return recurrent_state(
        model.config,
        batch,
        cached_itemsize(model, facts),
        reordered=_reordered(analysis, "recurrent_state"),
    )


def generating_calls(trace: Trace) -> list[Call]:
    """The calls of a model whose cache has keys and values, oldest first."""
    phases = trace.phases
    known = (phases.batch > 0) & (phases.tokens > 0) & (phases.context >= 0)
    return [
        Call(int(phases.batch[row]), int(phases.tokens[row]), int(phases.context[row]))
        for row in np.flatnonzero(known)
    ]


def generating_model(facts: RunFacts, models: list[ModelSpec]) -> ModelSpec | str:
    """The one model that generated; with none or several, the reason why not."""
    generating = facts.generating(models)
    if len(generating) == 1:
        return generating[0]
    if not generating:
        return "no model with a Hugging Face configuration generated"
    return f"{len(generating)} models generated: whose cache it is is open"


def cached_itemsize(model: ModelSpec, facts: RunFacts) -> int:
    """Bytes of an element of what a model caches.

    Rotating the keys by positions in float32 undoes autocast, and the values join them.
    """
    calls = facts.calls_of(model)
    autocast = calls[-1].get("autocast") if calls else None
    rotated = "rope_parameters" in decoder_config(model.config)
    return itemsize(str((autocast if not rotated else None) or model.dtype or "float32"))


def _as_cached(layout: CacheLayout, cache: Value) -> CacheLayout:
    """A cache made without the configuration grows in every layer."""
    if "Sliding" in str(cache.get("layer_class")):
        return layout
    layers = (CacheLayer(each.heads, each.key_width, each.value_width) for each in layout.layers)
    return CacheLayout(tuple(layers), layout.cross)


def _encoder_tokens(trace: Trace) -> int:
    """Tokens of the encoder's longest call, which has no cache."""
    phases = trace.phases
    encoders = (phases.batch > 0) & (phases.tokens > 0) & (phases.context < 0)
    return int(phases.tokens[encoders].max(initial=0))


def _reordered(analysis: Analysis, category: str) -> bool:
    """Whether a cache was rearranged between two calls, as beam search does."""
    trace = analysis.trace
    chosen = [number for number, text in enumerate(trace.strings) if "index_select" in text]
    cached = analysis.attribution.category == CATEGORIES.index(category)
    return bool(np.isin(trace.allocations.op[cached], chosen).any())

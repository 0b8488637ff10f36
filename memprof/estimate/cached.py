"""What a run keeps between calls: keys and values of every kind of cache, and recurrent states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from memprof.estimate.cache_layout import (
    CacheLayer,
    CacheLayout,
    cache_layout,
    decoder_config,
    has_recurrent_layers,
)
from memprof.estimate.dtypes import itemsize
from memprof.estimate.kv_cache import CacheSpec, Call, held_during, kv_cache
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.recurrent_state import STATES, recurrent_state
from memprof.estimate.result import Estimate, not_estimated
from memprof.estimate.run_spec import RunSpec


@dataclass(frozen=True, slots=True)
class CachedBytes:
    """What a device keeps between calls.

    Attributes:
        kv_cache: keys and values, at their highest.
        kept: keys and values once a call has ended, without what is copied.
        before: the same before the last layer has its new tokens.
        recurrent_state: states that do not grow.
        bytes_per_token: that one more token of one sequence takes; None without such a cache.
    """

    kv_cache: Estimate
    kept: int
    before: int
    recurrent_state: Estimate
    bytes_per_token: int | None


def cached_bytes(model: ModelSpec, run: RunSpec) -> CachedBytes:
    """What one device keeps between the calls of a run.

    Args:
        model: the device's part of the model.
        run: of mode "prefill" or "decode".
    """
    nothing = Estimate(0, "no state of fixed size")
    element = itemsize(run.autocast or model.dtype or "float32")
    if model.model_type in STATES:
        state = recurrent_state(model.config, run.batch, element)
        return CachedBytes(Estimate(0, "no keys and values"), 0, 0, state, None)
    state = nothing
    if has_recurrent_layers(model.config):
        state = recurrent_state(model.config, run.batch, element)
    layout = cache_layout(model.config)
    if isinstance(layout, str):
        return CachedBytes(not_estimated(layout), 0, 0, state, None)
    if run.cache.expanded:
        layout = _expanded(layout, decoder_config(model.config))
    spec = CacheSpec(layout, itemsize(run.cache.dtype or run.dtype or model.dtype or "float32"))
    return _of_kind(spec, run, state)


def _of_kind(spec: CacheSpec, run: RunSpec, state: Estimate) -> CachedBytes:
    call = Call(run.batch, -(-run.tokens // run.parallel.cp), -(-run.context // run.parallel.cp))
    length, kind = call.tokens + call.context, run.cache.kind
    per_token = spec.bytes_per_token
    if kind == "static" or run.cache_length is not None:
        whole = kv_cache(replace(spec, slots=run.cache_length or length), [call])
    elif kind == "paged":
        whole = _paged(spec, run.batch, length, run.cache.block)
    elif kind == "quantised":
        whole = _quantised(spec, run, length)
    else:
        return _growing(spec, call, state)
    nbytes = whole.bytes or 0
    return CachedBytes(whole, nbytes, nbytes, state, per_token)


def _growing(spec: CacheSpec, call: Call, state: Estimate) -> CachedBytes:
    layers = len(spec.layout.layers)
    return CachedBytes(
        kv_cache=kv_cache(spec, [call]),
        kept=held_during(spec, None, call, layers),
        before=held_during(spec, None, call, layers - 1),
        recurrent_state=state,
        bytes_per_token=spec.bytes_per_token,
    )


def _paged(spec: CacheSpec, batch: int, tokens: int, block: int) -> Estimate:
    """ceil(n / B) pages of B tokens a sequence and layer; a window needs one page more.

    Kwon et al., 2309.06180; vLLM's `kv_cache_interface.py`.
    """
    pages = 0
    nbytes = 0
    for layer in spec.layout.layers:
        reach = tokens if layer.window is None else min(tokens, layer.window + block - 1)
        own = math.ceil(reach / block)
        pages += own
        nbytes += own * block * layer.elements * spec.itemsize * batch
    return Estimate(
        nbytes,
        f"{pages:,} pages a sequence in {len(spec.layout.layers)} layers × {block} tokens × "
        f"batch {batch}, {spec.bytes_per_token:,} B a token of all layers",
    )


def _quantised(spec: CacheSpec, run: RunSpec, tokens: int) -> Estimate:
    """Old tokens in few bits with a scale and a zero point a group, the latest as they are.

    transformers' `QuantizedCache` (Liu et al., 2402.02750): what came last stays whole until
    `residual` tokens are there.
    """
    cache, elements = run.cache, spec.layout.elements_per_token
    recent = min(cache.residual, tokens) if run.context else 0
    old = elements * (tokens - recent) * run.batch
    scales = 2 * spec.itemsize * math.ceil(old / cache.group)
    nbytes = math.ceil(old * cache.bits / 8) + scales
    nbytes += elements * recent * run.batch * spec.itemsize
    return Estimate(
        nbytes,
        f"{old:,} elements × {cache.bits} bits + {scales:,} B of scales and zero points + "
        f"{recent} tokens of {spec.bytes_per_token:,} B × batch {run.batch} as they are",
        ("the residual is full",),
    )


def _expanded(layout: CacheLayout, config: Mapping[str, Any]) -> CacheLayout:
    """The heads that a latent expands to, in place of the latent."""
    if not isinstance(config.get("kv_lora_rank"), int):
        return layout
    keys = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
    layer = CacheLayer(config["num_attention_heads"], keys, config["v_head_dim"])
    return CacheLayout((layer,) * len(layout.layers))

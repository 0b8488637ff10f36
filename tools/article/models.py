"""Estimates that several claims need."""

from __future__ import annotations

from functools import cache

import memprof
from memprof.estimate import CacheOptions, Hardware, Parallelism, RunEstimate, RunSpec, hardware

GB = 1e9
BATCH, LENGTH = 32, 4096  # of the article's example


def h100() -> Hardware:
    return hardware("h100")


@cache
def decode(model: str, batch: int = 1, cached: int = 0, form: str = "") -> RunEstimate:
    """One step of generation in 16 bits on an H100."""
    run = RunSpec("decode", batch, 1, cached, dtype="fp16", quantization=form)
    return memprof.estimate(model, run, "h100")


def weights(model: str, form: str = "") -> float:
    """GB of weights."""
    return (decode(model, form=form).by_category["weights"].bytes or 0) / GB


def tokens_per_second(model: str, form: str = "") -> float:
    """The most that one sequence can get on an H100, if the weights fit."""
    (bound,) = decode(model, form=form).rooflines.values()
    return bound.tokens_per_second


def cache_per_token(model: str = "llama-3-70b") -> int:
    return decode(model).kv_cache_bytes_per_token or 0


@cache
def adam(model: str, dtype: str, *, master: bool = False) -> float:
    """GB of weights, gradients and state in training with AdamW."""
    run = RunSpec("train", dtype=dtype, optimizer="AdamW", master_weights=master)
    kept = memprof.estimate(model, run).by_category
    return sum(kept[name].bytes or 0 for name in ("weights", "gradients", "optimizer_state")) / GB


@cache
def split(devices: int, form: str = "", cache_dtype: str = "") -> tuple[float, float]:
    """GB of weights and of KV cache on each of some GPUs, of the article's example."""
    run = RunSpec(
        "decode",
        BATCH,
        1,
        LENGTH - 1,
        dtype="fp16",
        quantization=form,
        cache=CacheOptions(dtype=cache_dtype, kind="paged"),
        parallel=Parallelism(tp=devices),
    )
    held = memprof.estimate("llama-3-70b", run).by_category
    return (held["weights"].bytes or 0) / GB, (held["kv_cache"].bytes or 0) / GB

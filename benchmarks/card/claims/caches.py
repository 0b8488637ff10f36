"""What Transformers' KV caches hold on the device; the card's machine may not have Transformers."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from .claim import Bench, Claim, Seen, compared

LAYERS, HEADS, TOKENS, HEAD = 8, 2, 64, 64
#: Bytes of one layer's keys of TOKENS tokens.
ONE = 2 * HEADS * TOKENS * HEAD
ABSENT: Seen = {"holds": None, "reason": "Transformers is not installed"}


def _installed() -> bool:
    return importlib.util.find_spec("transformers") is not None


def _filled(bench: Bench, cache: Any) -> Any:
    for layer in range(LAYERS):
        k, v = (
            torch.zeros(1, HEADS, TOKENS, HEAD, dtype=torch.bfloat16, device=bench.device)
            for _ in range(2)
        )
        cache.update(k, v, layer)
    return cache


@torch.no_grad()
def a_growing_cache_holds_one_tensor_twice(bench: Bench) -> Seen:
    """A growing cache holds its tokens, for a moment also what it is given and one old tensor."""
    if not _installed():
        return dict(ABSENT)
    from transformers import DynamicCache

    moved = bench.moved(lambda: _filled(bench, _filled(bench, DynamicCache())))
    expected = {"held": 2 * LAYERS * 2 * ONE, "moment": 2 * ONE + ONE}
    return compared(expected, {"held": moved.held, "moment": moved.peak - moved.held})


@torch.no_grad()
def an_offloaded_cache_keeps_two_layers(bench: Bench) -> Seen:
    """An offloaded cache keeps at most two layers on the device."""
    if not _installed():
        return dict(ABSENT)
    from transformers import DynamicCache

    held = bench.moved(lambda: _filled(bench, DynamicCache(offloading=True))).held / (2 * ONE)
    return {"holds": held <= 2, "layers_on_the_device": held, "layers": LAYERS}


CLAIMS = (
    Claim(a_growing_cache_holds_one_tensor_twice, "memprof estimate: KV cache", False),
    Claim(an_offloaded_cache_keeps_two_layers, "Transformers: offloaded caches"),
)

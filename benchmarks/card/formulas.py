"""Closed forms held against the card: cache, bandwidth and attention, at full size."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from .device import Card, Rehearsal
from .llama import Fixed, made
from .sizes import Sizes

Measured = dict[str, Any]


def _untagged(tensor: torch.Tensor) -> None:
    pass


def kv_cache(sizes: Sizes, card: Card | Rehearsal) -> Measured:
    """Bytes of a fixed cache against 2 x layers x heads of keys x width x 2 bytes a token."""
    shape, length = sizes.generating, sizes.prompt + sizes.new_tokens
    held = card.moved(lambda: Fixed(shape, length, card.device, _untagged)).held
    measured = held / length
    return {
        "formula_bytes_per_token": shape.kv_bytes_per_token,
        "measured_bytes_per_token": measured,
    }


def bandwidth(sizes: Sizes, card: Card | Rehearsal) -> float:
    """Bytes a second that a copy reads and writes."""
    source = torch.zeros(sizes.copied_bytes, dtype=torch.uint8, device=card.device)
    target = torch.empty_like(source)
    return 2 * sizes.copied_bytes / _seconds(lambda: target.copy_(source), card, 10)


@torch.no_grad()
def decoding(sizes: Sizes, card: Card | Rehearsal) -> Measured:
    """Tokens a second of one sequence against what reading weights and cache once would allow."""
    shape, length = sizes.generating, sizes.prompt + sizes.new_tokens
    model = made(shape, card.device)
    store = Fixed(shape, length, card.device, _untagged)
    token = torch.zeros(1, 1, dtype=torch.long, device=card.device)
    model(torch.zeros(1, sizes.prompt, dtype=torch.long, device=card.device), store)
    seconds = _seconds(lambda: model(token, store), card, sizes.new_tokens // 2, warm_up=1)
    embedding = model.embedding.weight
    read = sum(p.nbytes for p in model.parameters()) - embedding.nbytes
    read += shape.kv_bytes_per_token * sizes.prompt
    bytes_per_second = bandwidth(sizes, card)
    return {
        "bytes_read_per_token": read,
        "bandwidth_bytes_per_second": bytes_per_second,
        "bound_tokens_per_second": bytes_per_second / read,
        "measured_tokens_per_second": 1 / seconds,
        "share_of_bound": read / seconds / bytes_per_second,
    }


@torch.no_grad()
def attention(sizes: Sizes, card: Card | Rehearsal) -> Measured:
    """Peak bytes of one head's attention over a long text, scores written out or not."""
    size = (1, 1, sizes.long_tokens, 128)
    q, k, v = (torch.randn(size, dtype=torch.bfloat16, device=card.device) for _ in range(3))

    def eager() -> torch.Tensor:
        scores = q @ k.transpose(2, 3)
        return functional.softmax(scores, dim=3, dtype=torch.float32).to(q.dtype) @ v

    def flash() -> torch.Tensor:
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    scores = sizes.long_tokens**2
    peaks = {"eager": card.moved(eager).peak, "flash": card.moved(flash).peak}
    return {"peak_bytes": peaks, "eager_bytes_per_score": peaks["eager"] / scores}


def _seconds(
    work: Callable[[], Any], card: Card | Rehearsal, times: int, warm_up: int = 3
) -> float:
    for _ in range(warm_up):
        work()
    card.wait()
    begun = time.perf_counter()
    for _ in range(times):
        work()
    card.wait()
    return (time.perf_counter() - begun) / times


FORMULAS = {
    "kv cache": kv_cache,
    "decoding": decoding,
    "attention": attention,
}

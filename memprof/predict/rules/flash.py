"""The backward pass of flash attention sums up in float32 before it writes its gradients."""

from __future__ import annotations

from typing import Any

import torch

from memprof.predict.rules.rule import Call, Held

_aten = torch.ops.aten
_ROWS, _COLUMNS = 128, 32  # to which sequence and head sizes are rounded up


class FlashBackward:
    """The sums of dQ, the softmax's own sums, and dK and dV of every query head."""

    name = "flash_backward_workspace"
    source = "aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, mha_bwd"
    funcs: frozenset[Any] = frozenset({_aten._scaled_dot_product_flash_attention_backward.default})

    def held(self, call: Call) -> list[Held]:
        """Arguments: grad_out, query, key, ...; queries are [batch, heads, tokens, head size]."""
        query, key = call.tensor(1), call.tensor(2)
        batch, heads, tokens, size = query.shape
        rows = batch * heads * _rounded(tokens, _ROWS)
        held = [
            Held(4 * rows * _rounded(size, _COLUMNS), "flash attention: sums of dQ"),
            Held(4 * rows, "flash attention: sums of softmax"),
        ]
        if key.shape[1] != heads:
            expanded = batch * heads * key.shape[2] * size * key.element_size()
            held += [Held(expanded, f"flash attention: d{name} of every head") for name in "KV"]
        return held


def _rounded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple

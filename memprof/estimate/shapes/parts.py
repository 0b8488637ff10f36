"""Pieces that architectures are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Config = Mapping[str, Any]
Named = tuple[str, tuple[int, ...]]


def linear(name: str, shape: tuple[int, ...], bias: int = 0) -> Iterator[Named]:
    """A weight, and a bias of `bias` elements where there is one."""
    yield f"{name}.weight", shape
    if bias:
        yield f"{name}.bias", (bias,)


def layer_norm(name: str, width: int) -> Iterator[Named]:
    """A LayerNorm's scale and shift."""
    return linear(name, (width,), width)


def gated_mlp(config: Config, name: str, inner: int) -> Iterator[Named]:
    """Gate, up and down projections: `down(act(gate(x)) * up(x))`."""
    h, bias = config["hidden_size"], bool(config.get("mlp_bias"))
    for part in ("gate", "up"):
        yield from linear(f"{name}.{part}_proj", (inner, h), inner * bias)
    yield from linear(f"{name}.down_proj", (h, inner), h * bias)


def fused_experts(name: str, experts: int, inner: int, hidden: int) -> Iterator[Named]:
    """All experts' projections in two tensors, as transformers keeps them."""
    yield f"{name}.gate_up_proj", (experts, 2 * inner, hidden)
    yield f"{name}.down_proj", (experts, hidden, inner)


def number_of_experts(config: Config) -> int:
    """Experts of a layer: releases of transformers tell them under one of two names."""
    return int(config.get("num_local_experts") or config["num_experts"])


def head_width(config: Config) -> int:
    """Elements of one attention head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def head(config: Config, tied: bool = False, name: str = "lm_head.weight") -> Iterator[Named]:
    """The head's weight, unless it is the embedding's."""
    if not config.get("tie_word_embeddings", tied):
        yield name, (config["vocab_size"], config["hidden_size"])

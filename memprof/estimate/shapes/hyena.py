"""Hyena: long convolutions whose filters a small network makes from positions.

Poli et al., 2302.10866; Nguyen et al., 2306.15794 (HyenaDNA), whose published module this counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from memprof.estimate.shapes.parts import Config, Named, layer_norm, linear


def hyena(config: Config) -> Iterator[Named]:
    """2V·h + L(operator + 2h·f + f + h + 4h) + 2h, the vocabulary padded to a multiple of 8."""
    h, inner = config["d_model"], config.get("d_inner") or 4 * config["d_model"]
    vocabulary = padded_vocabulary(config)
    yield "hyena.backbone.embeddings.word_embeddings.weight", (vocabulary, h)
    for layer in range(config["n_layer"]):
        block = f"hyena.backbone.layers.{layer}"
        yield from _operator(config, f"{block}.mixer", h, config.get("hyena_order", 2))
        yield from layer_norm(f"{block}.norm1", h)
        yield from linear(f"{block}.mlp.fc1", (inner, h), inner)
        yield from linear(f"{block}.mlp.fc2", (h, inner), h)
        yield from layer_norm(f"{block}.norm2", h)
    yield from layer_norm("hyena.backbone.ln_f", h)
    if not config.get("tie_word_embeddings", False):
        yield "lm_head.weight", (vocabulary, h)


def padded_vocabulary(config: Config) -> int:
    """Rows of the embedding: the vocabulary, filled up to a multiple."""
    multiple = config.get("pad_vocab_size_multiple", 8)
    return int(-(-config["vocab_size"] // multiple) * multiple)


def _operator(config: Config, name: str, h: int, order: int) -> Iterator[Named]:
    wide = h * (order + 1)
    yield from linear(f"{name}.in_proj", (wide, h), wide)
    yield from linear(f"{name}.out_proj", (h, h), h)
    yield from linear(f"{name}.short_filter", (wide, 1, config.get("short_filter_order", 3)), wide)
    yield from _filter(config, f"{name}.filter_fn", h, order)


def _filter(config: Config, name: str, h: int, order: int) -> Iterator[Named]:
    """A network from positions to filters; its positions are parameters, one row a token."""
    width, positions = config.get("filter_order", 64), config["emb_dim"]
    yield f"{name}.bias", (h * (order - 1),)
    yield f"{name}.pos_emb.z", (1, config["max_seq_len"], positions)
    yield from linear(f"{name}.implicit_filter.0", (width, positions), width)
    if config.get("train_freq", True):
        yield f"{name}.implicit_filter.1.freq", (1, width)
    inner = config.get("num_inner_mlps", 2)
    for place in range(inner):
        yield from linear(f"{name}.implicit_filter.{2 + 2 * place}", (width, width), width)
    yield f"{name}.implicit_filter.{2 + 2 * inner}.weight", (h, width)

"""GPT-2: learned positions, LayerNorm, one projection for queries, keys and values.

Radford et al., Language Models are Unsupervised Multitask Learners; `modeling_gpt2.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from memprof.estimate.shapes.parts import Config, Named, layer_norm, linear


def gpt2(config: Config) -> Iterator[Named]:
    """V·h + n·h + L(4h² + 2h·f + 9h + f) + 2h, with f = 4h unless told."""
    h = config["n_embd"]
    inner = config.get("n_inner") or 4 * h
    yield "transformer.wte.weight", (config["vocab_size"], h)
    yield "transformer.wpe.weight", (config["n_positions"], h)
    for layer in range(config["n_layer"]):
        block = f"transformer.h.{layer}"
        yield from layer_norm(f"{block}.ln_1", h)
        yield from linear(f"{block}.attn.c_attn", (h, 3 * h), 3 * h)
        yield from linear(f"{block}.attn.c_proj", (h, h), h)
        yield from layer_norm(f"{block}.ln_2", h)
        yield from linear(f"{block}.mlp.c_fc", (h, inner), inner)
        yield from linear(f"{block}.mlp.c_proj", (inner, h), h)
    yield from layer_norm("transformer.ln_f", h)
    if not config.get("tie_word_embeddings", True):
        yield "lm_head.weight", (config["vocab_size"], h)

"""RWKV-4: time mixing and channel mixing instead of attention and MLP.

Peng et al., 2305.13048; `modeling_rwkv.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from memprof.estimate.shapes.parts import Config, Named, head, layer_norm


def rwkv(config: Config) -> Iterator[Named]:
    """2V·h + L(4h·A + 2h·f + h² + 11h) + 4h, with attention width A and inner width f."""
    h = config["hidden_size"]
    width = config.get("attention_hidden_size") or h
    inner = config.get("intermediate_size") or 4 * h
    yield "rwkv.embeddings.weight", (config["vocab_size"], h)
    for layer in range(config["num_hidden_layers"]):
        block = f"rwkv.blocks.{layer}"
        if layer == 0:
            yield from layer_norm(f"{block}.pre_ln", h)
        yield from layer_norm(f"{block}.ln1", h)
        yield from layer_norm(f"{block}.ln2", h)
        yield from _time_mixing(f"{block}.attention", h, width)
        yield from _channel_mixing(f"{block}.feed_forward", h, inner)
    yield from layer_norm("rwkv.ln_out", h)
    yield from head(config, name="head.weight")


def _time_mixing(name: str, h: int, width: int) -> Iterator[Named]:
    yield f"{name}.time_decay", (width,)
    yield f"{name}.time_first", (width,)
    for part in ("key", "value", "receptance"):
        yield f"{name}.time_mix_{part}", (1, 1, h)
    for part in ("key", "value", "receptance"):
        yield f"{name}.{part}.weight", (width, h)
    yield f"{name}.output.weight", (h, width)


def _channel_mixing(name: str, h: int, inner: int) -> Iterator[Named]:
    yield f"{name}.time_mix_key", (1, 1, h)
    yield f"{name}.time_mix_receptance", (1, 1, h)
    yield f"{name}.key.weight", (inner, h)
    yield f"{name}.receptance.weight", (h, h)
    yield f"{name}.value.weight", (h, inner)

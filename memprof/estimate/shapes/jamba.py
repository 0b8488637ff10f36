"""Jamba: layers of Mamba and of attention in a rhythm, and experts in another.

Lieber et al., 2403.19887; `modeling_jamba.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from memprof.estimate.shapes.decoder import attention
from memprof.estimate.shapes.mamba import mamba_mixer, time_step_rank
from memprof.estimate.shapes.parts import Config, Named, fused_experts, gated_mlp, head


def jamba(config: Config) -> Iterator[Named]:
    """2V·h + Σ layers (attention or mixer, MLP or experts, 2h) + h."""
    h = config["hidden_size"]
    yield "model.embed_tokens.weight", (config["vocab_size"], h)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        if _every(config, "attn_layer", layer):
            yield from attention(config, f"{block}.self_attn", layer)
        else:
            yield from _mixer(config, f"{block}.mamba")
        yield from _feed_forward(config, f"{block}.feed_forward", layer)
        yield f"{block}.input_layernorm.weight", (h,)
        yield f"{block}.pre_ff_layernorm.weight", (h,)
    yield "model.final_layernorm.weight", (h,)
    yield from head(config)


def _every(config: Config, what: str, layer: int) -> bool:
    return bool(layer % config[f"{what}_period"] == config[f"{what}_offset"])


def _mixer(config: Config, name: str) -> Iterator[Named]:
    h, state = config["hidden_size"], config["mamba_d_state"]
    rank = time_step_rank(config.get("mamba_dt_rank"), h)
    yield from mamba_mixer(
        name,
        hidden=h,
        inner=int(config["mamba_expand"] * h),
        state=state,
        window=config["mamba_d_conv"],
        rank=rank,
        bias=bool(config.get("mamba_proj_bias")),
        convolution_bias=bool(config.get("mamba_conv_bias", True)),
    )
    yield f"{name}.dt_layernorm.weight", (rank,)
    yield f"{name}.b_layernorm.weight", (state,)
    yield f"{name}.c_layernorm.weight", (state,)


def _feed_forward(config: Config, name: str, layer: int) -> Iterator[Named]:
    h, inner, experts = config["hidden_size"], config["intermediate_size"], config["num_experts"]
    if experts == 1 or not _every(config, "expert_layer", layer):
        yield from gated_mlp(config, name, inner)
        return
    yield f"{name}.router.weight", (experts, h)
    yield from fused_experts(f"{name}.experts", experts, inner, h)

"""DeepSeek-V2 and V3: attention over a compressed latent, routed and shared experts.

DeepSeek-AI, 2405.04434 and 2412.19437; `modeling_deepseek_v3.py`. The correction biases of V3's
router are buffers in transformers and not counted; neither is the module of multi-token prediction.
"""

from __future__ import annotations

from collections.abc import Iterator

from memprof.estimate.shapes.decoder import decoder
from memprof.estimate.shapes.parts import Config, Named, fused_experts, gated_mlp, linear


def deepseek(config: Config) -> Iterator[Named]:
    """Attention h·q + q·a(n+r) + h(c+r) + c·a(n+v) + a·v·h, with query rank q and latent c."""
    return decoder(config, _attention, _experts)


def _attention(config: Config, name: str, _layer: int) -> Iterator[Named]:
    h, heads, latent = (
        config[key] for key in ("hidden_size", "num_attention_heads", "kv_lora_rank")
    )
    plain, rotated, value = (
        config[key] for key in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    )
    bias, rank = bool(config.get("attention_bias")), config.get("q_lora_rank", 1536)
    queries = heads * (plain + rotated)
    if not rank:
        yield f"{name}.q_proj.weight", (queries, h)
    else:
        yield from linear(f"{name}.q_a_proj", (rank, h), rank * bias)
        yield f"{name}.q_a_layernorm.weight", (rank,)
        yield f"{name}.q_b_proj.weight", (queries, rank)
    compressed = latent + rotated
    yield from linear(f"{name}.kv_a_proj_with_mqa", (compressed, h), compressed * bias)
    yield f"{name}.kv_a_layernorm.weight", (latent,)
    yield f"{name}.kv_b_proj.weight", (heads * (plain + value), latent)
    yield from linear(f"{name}.o_proj", (h, heads * value), h * bias)


def _experts(config: Config, name: str, layer: int) -> Iterator[Named]:
    if layer < config.get("first_k_dense_replace", 0):
        yield from gated_mlp(config, name, config["intermediate_size"])
        return
    h, experts, inner = (
        config[key] for key in ("hidden_size", "n_routed_experts", "moe_intermediate_size")
    )
    yield from fused_experts(f"{name}.experts", experts, inner, h)
    yield f"{name}.gate.weight", (experts, h)
    shared = config.get("n_shared_experts")
    if shared:
        yield from gated_mlp(config, f"{name}.shared_experts", shared * inner)

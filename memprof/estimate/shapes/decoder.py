"""Llama and the decoders made after it: Mistral, Qwen, Gemma, Phi-3, and their mixtures of experts.

Touvron et al., 2302.13971; Jiang et al., 2401.04088; `modeling_llama.py` and its relatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memprof.estimate.shapes.parts import (
    Config,
    Named,
    fused_experts,
    gated_mlp,
    head,
    head_width,
    linear,
    number_of_experts,
)

Part = Callable[[Config, str, int], Iterator[Named]]
NORMS = ("input_layernorm", "post_attention_layernorm")
#: Architectures whose head is the embedding unless the configuration says otherwise.
_TIED = ("gemma", "gemma2", "gemma3_text")
#: Architectures with a norm over each head of queries and keys.
_HEAD_NORMS = ("qwen3", "qwen3_moe", "gemma3_text")
#: Architectures with biases on queries, keys and values alone.
_QKV_BIAS = ("qwen2", "qwen2_moe")


def llama(config: Config) -> Iterator[Named]:
    """V·h (twice unless tied) + L(2h·a·d + 2h·k·d + 3h·f + 2h) + h, plus biases and head norms."""
    return decoder(config, attention, _mlp)


def gemma(config: Config) -> Iterator[Named]:
    """As Llama with four norms a layer."""
    more = ("pre_feedforward_layernorm", "post_feedforward_layernorm")
    return decoder(config, attention, _mlp, (*NORMS, *more))


def phi3(config: Config) -> Iterator[Named]:
    """As Llama with queries, keys and values in one weight, and gate and up in another."""
    return decoder(config, _joint_attention, _joint_mlp)


def mixtral(config: Config) -> Iterator[Named]:
    """As Llama with E gated MLPs and a router of E·h."""
    return decoder(config, attention, _mixtral_experts)


def qwen3_moe(config: Config) -> Iterator[Named]:
    """As Qwen3 with experts in every `decoder_sparse_step`-th layer."""
    return decoder(config, attention, _qwen3_experts)


def qwen2_moe(config: Config) -> Iterator[Named]:
    """As Qwen2 with experts and a shared one that has a gate of its own."""
    return decoder(config, attention, _qwen2_experts)


def decoder(
    config: Config, attend: Part, feed: Part, norms: tuple[str, ...] = NORMS
) -> Iterator[Named]:
    """An embedding, blocks of attention, MLP and norms, a final norm and a head."""
    h = config["hidden_size"]
    yield "model.embed_tokens.weight", (config["vocab_size"], h)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        yield from attend(config, f"{block}.self_attn", layer)
        yield from feed(config, f"{block}.mlp", layer)
        for norm in norms:
            yield f"{block}.{norm}.weight", (h,)
    yield "model.norm.weight", (h,)
    yield from head(config, config["model_type"] in _TIED)


def attention(config: Config, name: str, _layer: int) -> Iterator[Named]:
    """Queries, keys, values and the projection of their result."""
    h, heads = config["hidden_size"], config["num_attention_heads"]
    groups, width = config.get("num_key_value_heads") or heads, head_width(config)
    bias = bool(config.get("attention_bias"))
    inner_bias = bias or config["model_type"] in _QKV_BIAS
    for part, rows in (("q", heads * width), ("k", groups * width), ("v", groups * width)):
        yield from linear(f"{name}.{part}_proj", (rows, h), rows * inner_bias)
    yield from linear(f"{name}.o_proj", (h, heads * width), h * bias)
    if config["model_type"] in _HEAD_NORMS:
        yield f"{name}.q_norm.weight", (width,)
        yield f"{name}.k_norm.weight", (width,)


def _joint_attention(config: Config, name: str, _layer: int) -> Iterator[Named]:
    h, heads, width = config["hidden_size"], config["num_attention_heads"], head_width(config)
    groups = config.get("num_key_value_heads") or heads
    yield f"{name}.o_proj.weight", (h, heads * width)
    yield f"{name}.qkv_proj.weight", ((heads + 2 * groups) * width, h)


def _mlp(config: Config, name: str, _layer: int) -> Iterator[Named]:
    return gated_mlp(config, name, config["intermediate_size"])


def _joint_mlp(config: Config, name: str, _layer: int) -> Iterator[Named]:
    h, inner = config["hidden_size"], config["intermediate_size"]
    yield f"{name}.gate_up_proj.weight", (2 * inner, h)
    yield f"{name}.down_proj.weight", (h, inner)


def _mixtral_experts(config: Config, name: str, _layer: int) -> Iterator[Named]:
    h, experts = config["hidden_size"], config["num_local_experts"]
    yield f"{name}.gate.weight", (experts, h)
    yield from fused_experts(f"{name}.experts", experts, config["intermediate_size"], h)


def _qwen3_experts(config: Config, name: str, layer: int) -> Iterator[Named]:
    if not _is_sparse(config, layer):
        yield from gated_mlp(config, name, config["intermediate_size"])
        return
    h, experts = config["hidden_size"], number_of_experts(config)
    yield from fused_experts(f"{name}.experts", experts, config["moe_intermediate_size"], h)
    yield f"{name}.gate.weight", (experts, h)


def _qwen2_experts(config: Config, name: str, layer: int) -> Iterator[Named]:
    if not _is_sparse(config, layer):
        yield from gated_mlp(config, name, config["intermediate_size"])
        return
    h, experts = config["hidden_size"], number_of_experts(config)
    yield f"{name}.gate.weight", (experts, h)
    yield from fused_experts(f"{name}.experts", experts, config["moe_intermediate_size"], h)
    shared = config["shared_expert_intermediate_size"]
    yield from gated_mlp(config, f"{name}.shared_expert", shared)
    yield f"{name}.shared_expert_gate.weight", (1, h)


def _is_sparse(config: Config, layer: int) -> bool:
    """Whether a layer has experts; without a word all have."""
    dense = config.get("mlp_only_layers") or ()
    step = config.get("decoder_sparse_step") or 1
    return layer not in dense and (layer + 1) % step == 0

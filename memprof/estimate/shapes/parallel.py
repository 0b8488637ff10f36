"""Decoders whose attention and MLP read the same norm: Falcon and Phi.

Almazrouei et al., 2311.16867; Gunasekar et al., 2306.11644; `modeling_falcon.py` and
`modeling_phi.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from memprof.estimate.shapes.parts import Config, Named, layer_norm, linear


def falcon(config: Config) -> Iterator[Named]:
    """V·h + L(h(a+2k)d + h·a·d + 2h·f + norms) + 2h, tied."""
    h, heads = config["hidden_size"], config["num_attention_heads"]
    inner, bias = config.get("ffn_hidden_size") or 4 * h, bool(config.get("bias"))
    joint = _joint_rows(config, heads, h // heads)
    yield "transformer.word_embeddings.weight", (config["vocab_size"], h)
    for layer in range(config["num_hidden_layers"]):
        block = f"transformer.h.{layer}"
        yield from linear(f"{block}.self_attention.query_key_value", (joint, h), joint * bias)
        yield from linear(f"{block}.self_attention.dense", (h, h), h * bias)
        yield from linear(f"{block}.mlp.dense_h_to_4h", (inner, h), inner * bias)
        yield from linear(f"{block}.mlp.dense_4h_to_h", (h, inner), h * bias)
        for norm in _falcon_norms(config):
            yield from layer_norm(f"{block}.{norm}", h)
    yield from layer_norm("transformer.ln_f", h)
    if not config.get("tie_word_embeddings", True):
        yield "lm_head.weight", (config["vocab_size"], h)


def _joint_rows(config: Config, heads: int, width: int) -> int:
    if config.get("new_decoder_architecture"):
        groups = config.get("num_kv_heads") or heads
    else:
        groups = 1 if config.get("multi_query", True) else heads
    return int((heads + 2 * groups) * width)


def _falcon_norms(config: Config) -> tuple[str, ...]:
    """The second generation has a norm each for attention and MLP, unless told one."""
    if config.get("new_decoder_architecture"):
        number = config.get("num_ln_in_parallel_attn") or 2
        return ("ln_attn", "ln_mlp") if number == 2 else ("input_layernorm",)
    if config.get("parallel_attn", True):
        return ("input_layernorm",)
    return ("post_attention_layernorm", "input_layernorm")


def phi(config: Config) -> Iterator[Named]:
    """2V·h + V + L(2h·a·d + 2h·k·d + 2h·f + f + biases + 2h) + 2h."""
    h, heads, inner = (
        config[key] for key in ("hidden_size", "num_attention_heads", "intermediate_size")
    )
    width = h // heads
    keys = (config.get("num_key_value_heads") or heads) * width
    yield "model.embed_tokens.weight", (config["vocab_size"], h)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        for part, rows in (("q_proj", heads * width), ("k_proj", keys), ("v_proj", keys)):
            yield from linear(f"{block}.self_attn.{part}", (rows, h), rows)
        yield from linear(f"{block}.self_attn.dense", (h, heads * width), h)
        if config.get("qk_layernorm"):
            yield from layer_norm(f"{block}.self_attn.q_layernorm", width)
            yield from layer_norm(f"{block}.self_attn.k_layernorm", width)
        yield from linear(f"{block}.mlp.fc1", (inner, h), inner)
        yield from linear(f"{block}.mlp.fc2", (h, inner), h)
        yield from layer_norm(f"{block}.input_layernorm", h)
    yield from layer_norm("model.final_layernorm", h)
    vocabulary = config["vocab_size"]
    if not config.get("tie_word_embeddings", False):
        yield "lm_head.weight", (vocabulary, h)
    yield "lm_head.bias", (vocabulary,)

"""Every parameter of an architecture by name and shape, from its configuration alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from memprof.errors import UsageError

Config = Mapping[str, Any]
Named = tuple[str, tuple[int, ...]]


def parameter_shapes(config: Config) -> list[Named] | None:
    """Names and shapes of a causal language model's parameters, tied ones once.

    Equal to those of transformers' own class, in its order; None where there is no formula.

    Raises:
        UsageError: if the configuration lacks a size.
    """
    formula = FORMULAS.get(str(config.get("model_type")))
    if formula is None:
        return None
    try:
        return list(formula(config))
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"the {config.get('model_type')} configuration lacks a size: {error}"
        ) from None


def parameter_count(config: Config) -> int | None:
    """Number of parameters, tied ones once; None where there is no formula.

    Raises:
        UsageError: if the configuration lacks a size.
    """
    shapes = parameter_shapes(config)
    return None if shapes is None else sum(math.prod(shape) for _, shape in shapes)


def _gpt2(config: Config) -> Iterator[Named]:
    h = config["n_embd"]
    inner = config.get("n_inner") or 4 * h
    yield "transformer.wte.weight", (config["vocab_size"], h)
    yield "transformer.wpe.weight", (config["n_positions"], h)
    for layer in range(config["n_layer"]):
        block = f"transformer.h.{layer}"
        yield from _with_bias(f"{block}.ln_1", (h,), h)
        yield from _with_bias(f"{block}.attn.c_attn", (h, 3 * h), 3 * h)
        yield from _with_bias(f"{block}.attn.c_proj", (h, h), h)
        yield from _with_bias(f"{block}.ln_2", (h,), h)
        yield from _with_bias(f"{block}.mlp.c_fc", (h, inner), inner)
        yield from _with_bias(f"{block}.mlp.c_proj", (inner, h), h)
    yield from _with_bias("transformer.ln_f", (h,), h)
    if not config.get("tie_word_embeddings", True):
        yield "lm_head.weight", (config["vocab_size"], h)


def _llama(config: Config) -> Iterator[Named]:
    return _decoder(config, _gated_mlp)


def _mixtral(config: Config) -> Iterator[Named]:
    return _decoder(config, _experts)


def _decoder(config: Config, mlp: Callable[[Config, str], Iterator[Named]]) -> Iterator[Named]:
    h = config["hidden_size"]
    yield "model.embed_tokens.weight", (config["vocab_size"], h)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        yield from _attention(config, f"{block}.self_attn")
        yield from mlp(config, f"{block}.mlp")
        yield f"{block}.input_layernorm.weight", (h,)
        yield f"{block}.post_attention_layernorm.weight", (h,)
    yield "model.norm.weight", (h,)
    if not config.get("tie_word_embeddings", False):
        yield "lm_head.weight", (config["vocab_size"], h)


def _attention(config: Config, name: str) -> Iterator[Named]:
    h, heads = config["hidden_size"], config["num_attention_heads"]
    groups = config.get("num_key_value_heads") or heads
    width = config.get("head_dim") or h // heads
    bias = bool(config.get("attention_bias"))
    inner_bias = bias or config["model_type"] == "qwen2"
    for part, rows in (("q", heads * width), ("k", groups * width), ("v", groups * width)):
        yield from _with_bias(f"{name}.{part}_proj", (rows, h), rows if inner_bias else 0)
    yield from _with_bias(f"{name}.o_proj", (h, heads * width), h if bias else 0)


def _gated_mlp(config: Config, name: str) -> Iterator[Named]:
    h, inner = config["hidden_size"], config["intermediate_size"]
    bias = bool(config.get("mlp_bias"))
    for part in ("gate", "up"):
        yield from _with_bias(f"{name}.{part}_proj", (inner, h), inner if bias else 0)
    yield from _with_bias(f"{name}.down_proj", (h, inner), h if bias else 0)


def _experts(config: Config, name: str) -> Iterator[Named]:
    h, inner, experts = (
        config[key] for key in ("hidden_size", "intermediate_size", "num_local_experts")
    )
    yield f"{name}.gate.weight", (experts, h)
    yield f"{name}.experts.gate_up_proj", (experts, 2 * inner, h)
    yield f"{name}.experts.down_proj", (experts, h, inner)


def _with_bias(name: str, shape: tuple[int, ...], bias: int) -> Iterator[Named]:
    yield f"{name}.weight", shape
    if bias:
        yield f"{name}.bias", (bias,)


#: Formulas by the architecture's name (`model_type`) in transformers.
FORMULAS: Final[dict[str, Callable[[Config], Iterator[Named]]]] = {
    "gpt2": _gpt2,
    "llama": _llama,
    "mistral": _llama,
    "mixtral": _mixtral,
    "qwen2": _llama,
}

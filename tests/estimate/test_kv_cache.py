"""Caches of keys and values against the tensors inside transformers' own cache objects."""

from typing import Any

import pytest
import torch
import transformers as hf

from memprof.estimate.cache_layout import CacheLayout, cache_layout
from memprof.estimate.kv_cache import CacheSpec, Call, held_during, kept_bytes, kv_cache
from tests.estimate.oracle import cache_tensors, storage_bytes

SIZES: dict[str, Any] = {
    "vocab_size": 31,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}

CONFIGS: dict[str, hf.PreTrainedConfig] = {
    "llama": hf.LlamaConfig(**SIZES, num_key_value_heads=2),
    "llama with all heads": hf.LlamaConfig(**SIZES),
    "wide heads": hf.LlamaConfig(**SIZES, num_key_value_heads=1, head_dim=24),
    "gpt2": hf.GPT2Config(vocab_size=31, n_embd=32, n_layer=3, n_head=4),
    "gpt neox": hf.GPTNeoXConfig(**SIZES),
    "mistral": hf.MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=6),
    "mixtral": hf.MixtralConfig(**SIZES, num_key_value_heads=2, num_local_experts=2),
    "qwen2": hf.Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen3": hf.Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=16),
    "gemma": hf.GemmaConfig(**SIZES, num_key_value_heads=1, head_dim=8),
    "gemma3": hf.Gemma3TextConfig(
        **SIZES,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=6,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "phi3": hf.Phi3Config(**SIZES, num_key_value_heads=2, pad_token_id=0),
    "opt": hf.OPTConfig(
        vocab_size=31,
        hidden_size=32,
        ffn_dim=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        word_embed_proj_dim=32,
    ),
    "deepseek": hf.DeepseekV3Config(
        **SIZES,
        num_key_value_heads=4,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=12,
        first_k_dense_replace=3,
    ),
}


def layout_of(config: hf.PreTrainedConfig) -> CacheLayout:
    layout = cache_layout(config.to_dict())
    assert isinstance(layout, CacheLayout), layout
    return layout


def generate(config: hf.PreTrainedConfig, cache: Any, lengths: list[int], batch: int = 2) -> None:
    model = hf.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for tokens in lengths:
            ids = torch.randint(1, 31, (batch, tokens))
            model(input_ids=ids, past_key_values=cache, use_cache=True)


@pytest.mark.parametrize("lengths", [[4], [9], [4, 1, 1, 1, 1], [9, 1]])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_growing_cache_to_the_byte(name: str, lengths: list[int]) -> None:
    config = CONFIGS[name]
    cache = hf.DynamicCache(config=config)
    generate(config, cache, lengths)
    spec = CacheSpec(layout_of(config), itemsize=4)
    contexts = [sum(lengths[:place]) for place in range(len(lengths))]
    calls = [Call(2, tokens, context) for tokens, context in zip(lengths, contexts, strict=True)]
    before = calls[-2] if len(calls) > 1 else None
    held = held_during(spec, before, calls[-1], len(spec.layout.layers))
    assert held == storage_bytes(cache_tensors(cache))
    highest = kv_cache(spec, calls).bytes
    assert highest is not None
    assert highest >= held


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral", "gemma3"])
def test_a_static_cache_to_the_byte(name: str) -> None:
    config = CONFIGS[name]
    cache = hf.StaticCache(config=config, max_cache_len=13)
    generate(config, cache, [5, 1], batch=3)
    estimate = kv_cache(CacheSpec(layout_of(config), 4, slots=13), [Call(3, 5, 0), Call(3, 1, 5)])
    assert estimate.bytes == storage_bytes(cache_tensors(cache))
    assert "13 slots" in estimate.formula


def test_bytes_of_a_token() -> None:
    config = hf.LlamaConfig(
        num_hidden_layers=80, num_attention_heads=64, num_key_value_heads=8, hidden_size=8192
    )
    spec = CacheSpec(layout_of(config), itemsize=2)
    assert spec.bytes_per_token == 327_680
    assert kept_bytes(spec, 32, 4096) == 42_949_672_960


def test_the_highest_moment_of_a_growing_cache_holds_one_old_copy() -> None:
    spec = CacheSpec(layout_of(CONFIGS["llama"]), itemsize=4)
    one = 2 * 2 * 8 * 4  # keys or values of one token: batch, heads, width, bytes
    assert kv_cache(spec, [Call(2, 10, 0)]).bytes == kept_bytes(spec, 2, 10)
    assert kv_cache(spec, [Call(2, 10, 0), Call(2, 1, 10)]).bytes == 6 * one * 11 + one * 10


def test_only_the_largest_of_several_generations_counts() -> None:
    spec = CacheSpec(layout_of(CONFIGS["llama"]), itemsize=4)
    long = [Call(2, 10, 0), Call(2, 1, 10)]
    short = [Call(2, 3, 0), Call(2, 1, 3)]
    assert kv_cache(spec, long + short).bytes == kv_cache(spec, long).bytes
    assert kv_cache(spec, short + long).bytes == kv_cache(spec, long).bytes


def test_ten_thousand_calls_are_no_work() -> None:
    spec = CacheSpec(layout_of(CONFIGS["gemma3"]), itemsize=4)
    calls = [Call(1, 5, 0), *(Call(1, 1, 5 + done) for done in range(10_000))]
    estimate = kv_cache(spec, calls)
    assert estimate.bytes is not None
    assert estimate.bytes > kept_bytes(spec, 1, 10_005)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "layers and heads"),
        ({"num_hidden_layers": 2, "num_attention_heads": 2}, "width"),
        (
            {"num_hidden_layers": 1, "n_head": 2, "head_dim": 4, "layer_types": ["hybrid"]},
            "hybrid",
        ),
    ],
)
def test_a_configuration_that_does_not_tell_says_what(config: Any, reason: str) -> None:
    layout = cache_layout(config)
    assert isinstance(layout, str)
    assert reason in layout


def test_no_call_no_estimate() -> None:
    assert kv_cache(CacheSpec(layout_of(CONFIGS["llama"]), 4), []).bytes is None

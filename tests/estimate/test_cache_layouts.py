"""What each layer caches, for models that are not like Llama: read off transformers' own caches."""

from typing import Any

import pytest
import torch
import transformers as hf

import memprof
from memprof.estimate import RunSpec, estimate
from memprof.estimate.cache_layout import CacheLayout, cache_layout
from memprof.estimate.kv_cache import CacheSpec, Call, held_during, kv_cache
from memprof.estimate.recurrent_state import recurrent_state
from tests.estimate.oracle import storage_bytes, tensors_within

SIZES: dict[str, Any] = {
    "vocab_size": 31,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
LATENT: dict[str, Any] = {
    **SIZES,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 12,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 12,
}
EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
}
FALCON: dict[str, Any] = {
    "vocab_size": 31,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
MAMBA: dict[str, Any] = {"vocab_size": 31, "hidden_size": 32, "num_hidden_layers": 2}
SHARING: dict[str, Any] = {
    **{**SIZES, "intermediate_size": [40] * 4},
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "sliding_window": 4,
    "num_kv_shared_layers": 2,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 31,
    "laurel_rank": 8,
    "altup_num_inputs": 2,
    "activation_sparsity_pattern": [0.0] * 4,
}
HYBRID: dict[str, Any] = {**SIZES, "num_hidden_layers": 3, "num_key_value_heads": 2}
JAMBA: dict[str, Any] = {
    **HYBRID,
    "num_experts": 2,
    "use_mamba_kernels": False,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
}

CONFIGS: dict[str, Any] = {
    "latent of DeepSeek-V2": lambda: hf.DeepseekV2Config(**LATENT, **EXPERTS),
    "latent of DeepSeek-V3": lambda: hf.DeepseekV3Config(**LATENT, **EXPERTS),
    "latent of MiniCPM3": lambda: hf.MiniCPM3Config(**LATENT),
    "Falcon, one key head": lambda: hf.FalconConfig(**FALCON),
    "Falcon, grouped": lambda: hf.FalconConfig(
        **FALCON, num_kv_heads=2, new_decoder_architecture=True
    ),
    "layers that share keys": lambda: hf.Gemma3nTextConfig(**SHARING),
    "heads of two widths": lambda: hf.Gemma4TextConfig(
        **SIZES, num_hidden_layers=3, num_key_value_heads=2, head_dim=8, sliding_window=4
    ),
    "windows here and there": lambda: hf.Cohere2Config(
        **SIZES, num_hidden_layers=4, num_key_value_heads=2, sliding_window=4
    ),
    "Jamba": lambda: hf.JambaConfig(**JAMBA),
    "Bamba": lambda: hf.BambaConfig(
        **HYBRID, attn_layer_indices=[1], mamba_n_heads=4, mamba_d_head=16, mamba_d_state=8
    ),
    "Nemotron-H": lambda: hf.NemotronHConfig(
        **HYBRID,
        layers_block_type=["mamba", "attention", "mlp"],
        mamba_num_heads=4,
        mamba_head_dim=16,
        ssm_state_size=8,
        n_groups=2,
    ),
}


def made(config: Any) -> Any:
    torch.manual_seed(0)
    return hf.AutoModelForCausalLM.from_config(config).eval()


def keys_and_values(cache: Any) -> int:
    held = [getattr(layer, name, None) for layer in cache.layers for name in ("keys", "values")]
    return storage_bytes(tensor for tensor in held if isinstance(tensor, torch.Tensor))


@pytest.mark.parametrize("name", CONFIGS)
def test_keys_and_values_of_a_prompt_to_the_byte(name: str) -> None:
    config = CONFIGS[name]()
    with torch.no_grad():
        output = made(config)(input_ids=torch.randint(1, 31, (2, 7)), use_cache=True)
    layout = cache_layout(config.to_dict())
    assert isinstance(layout, CacheLayout), layout
    held = held_during(CacheSpec(layout, 4), None, Call(2, 7, 0), len(layout.layers))
    windows = sum(layer.window is not None for layer in layout.layers)
    assert held - 8 * windows == keys_and_values(output.past_key_values)


def test_layers_that_nobody_can_tell_apart_are_not_guessed_at() -> None:
    config = hf.FalconH1Config(**HYBRID, mamba_d_state=8, mamba_n_heads=4, mamba_d_ssm=64)
    layout = cache_layout(config.to_dict())
    assert isinstance(layout, str)
    assert "mixed layers" in layout


def test_states_of_hybrids_are_not_guessed_at() -> None:
    found = estimate(CONFIGS["Bamba"](), RunSpec(mode="decode", context=3))
    assert found.by_category["recurrent_state"].bytes is None
    assert found.by_category["kv_cache"].bytes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(
    "config",
    [
        hf.MambaConfig(**MAMBA, state_size=8),
        hf.FalconMambaConfig(**MAMBA, state_size=8),
        hf.Mamba2Config(**MAMBA, state_size=8, num_heads=4, head_dim=16, n_groups=2),
    ],
    ids=lambda config: config.model_type,
)
def test_scans_keep_float32_states(config: Any, dtype: torch.dtype) -> None:
    model = made(config).to(dtype)
    with torch.no_grad():
        cache = model(input_ids=torch.randint(1, 31, (3, 5)), use_cache=True).cache_params
    held = [tensor for layer in cache.layers for tensor in tensors_within(vars(layer))]
    found = recurrent_state(config.to_dict(), batch=3, itemsize=dtype.itemsize)
    assert found.bytes == storage_bytes(held)


def test_a_static_cache_holds_the_encoder_s_tokens_too() -> None:
    config = hf.T5Config(
        d_model=32, d_kv=8, d_ff=40, num_layers=2, num_heads=3, vocab_size=31, pad_token_id=0
    )
    model = hf.T5ForConditionalGeneration(config).eval()
    cache = hf.EncoderDecoderCache(
        hf.StaticCache(config=config, max_cache_len=6),
        hf.StaticCache(config=config, max_cache_len=9),
    )
    with torch.no_grad():
        model(
            input_ids=torch.randint(1, 31, (2, 9)),
            decoder_input_ids=torch.randint(1, 31, (2, 4)),
            past_key_values=cache,
            use_cache=True,
        )
    parts = (cache.self_attention_cache, cache.cross_attention_cache)
    held = [t for part in parts for layer in part.layers for t in tensors_within(vars(layer))]
    layout = cache_layout(config.to_dict())
    assert isinstance(layout, CacheLayout)
    spec = CacheSpec(layout, 4, slots=6, encoder_tokens=9)
    assert kv_cache(spec, [Call(2, 4, 0)]).bytes == storage_bytes(held)


@pytest.mark.parametrize(
    ("category", "config"),
    [
        ("kv_cache", hf.LlamaConfig(**SIZES, num_hidden_layers=2)),
        ("kv_cache", hf.MistralConfig(**HYBRID, sliding_window=6)),
        ("kv_cache", hf.Cohere2Config(**SIZES, num_hidden_layers=4, sliding_window=6)),
        ("recurrent_state", hf.MambaConfig(**MAMBA, state_size=8)),
        ("recurrent_state", hf.Mamba2Config(**MAMBA, num_heads=4, head_dim=16, n_groups=2)),
    ],
)
def test_beams_are_rearranged_one_tensor_at_a_time(category: str, config: Any) -> None:
    model = made(config)
    ids = torch.randint(1, 31, (2, 9))
    with memprof.trace() as traced:
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            num_beams=3,
            max_new_tokens=5,
            min_new_tokens=5,
            pad_token_id=0,
        )
    [row] = [row for row in memprof.compare(traced.analysis) if row.category == category]
    assert row.measured_bytes > 0
    assert row.error_bytes == 0, row.explanation

"""The state of Mamba, Mamba-2 and RWKV against a KV cache, over the length of the context.

python -m samples.lab.recurrent
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    RwkvConfig,
    RwkvForCausalLM,
)

import memprof
from memprof.estimate import RunSpec
from samples.lab.recorded import after_calls
from samples.lab.table import Result, Row, main

SIZES = {"vocab_size": 256, "hidden_size": 128, "num_hidden_layers": 2}
LLAMA = LlamaConfig(intermediate_size=256, num_attention_heads=4, num_key_value_heads=4, **SIZES)
MAMBA = MambaConfig(**SIZES)
MAMBA_2 = Mamba2Config(num_heads=8, head_dim=32, n_groups=1, state_size=16, **SIZES)
RWKV = RwkvConfig(attention_hidden_size=128, **SIZES)
BATCH = 2


def measure(quick: bool) -> Result:
    """Generates after prompts of several lengths, and holds what is kept against the formula."""
    lengths = [16, 64] if quick else [64, 256, 1024]
    rows = [
        *grown(LlamaForCausalLM, LLAMA, lengths, "Transformer: O(n) for KV cache"),
        *grown(MambaForCausalLM, MAMBA, lengths[:2], "Mamba: state is fixed size"),
        *grown(Mamba2ForCausalLM, MAMBA_2, lengths, "Mamba-2: O(1) memory for context"),
        *grown(RwkvForCausalLM, RWKV, lengths, "RWKV: O(1) memory for context"),
        *computed(),
    ]
    return Result("Recurrent state against KV cache", rows, [NOTE])


NOTE = (
    "Of what a transformer keeps, scores are O(n²) and the cache O(n). A recurrent model has no "
    "cache, “O(n) KV cache = 330 GB” least of all: its state is as large after one token as after "
    "a million."
)


def grown(
    kind: type[PreTrainedModel], config: PreTrainedConfig, lengths: Sequence[int], claim: str
) -> Iterator[Row]:
    category = "kv_cache" if config is LLAMA else "recurrent_state"
    for length in lengths:
        estimate = memprof.estimate(config, RunSpec("prefill", BATCH, length))
        told = estimate.by_category[category]
        each = estimate.kv_cache_bytes_per_token
        yield Row(
            f"{claim}: {length} tokens",
            f"{each:,} B × batch {BATCH} × {length} tokens" if each else told.formula,
            each * BATCH * length if each else told.bytes,
            kept(kind(config).eval(), length, category),
        )


def kept(model: PreTrainedModel, length: int, category: str) -> int:
    """Bytes that are there when the prompt has been read."""
    prompt = torch.randint(1, 255, (BATCH, length))
    with memprof.trace() as tracing:
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=2,
            min_new_tokens=2,
            do_sample=False,
            pad_token_id=0,
        )
    return after_calls(tracing, category, ("prefill", "forward"))[0]


def computed() -> Iterator[Row]:
    yield Row(
        "1M tokens, transformer: 330 GB", "327,680 B × 1,000,000, of Llama 3 70B", 327_680 * 10**6
    )
    large = {"hidden_size": 8192, "num_hidden_layers": 80}
    for config in (
        MambaConfig(**large),
        Mamba2Config(num_heads=256, head_dim=64, n_groups=1, state_size=128, **large),
    ):
        told = memprof.estimate(config, RunSpec("decode", dtype="bf16", context=10**6))
        state = told.by_category["recurrent_state"]
        yield Row(
            f"1M tokens, {config.model_type} as wide and deep: 330 GB, or fixed",
            state.formula,
            state.bytes,
        )


if __name__ == "__main__":
    main(measure)

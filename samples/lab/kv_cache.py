"""The KV cache of a 70B model, grown token by token: 80 layers, 8 KV heads, 128 wide.

python -m samples.lab.kv_cache

Only its hidden width is smaller, which no key or value knows of: the cache is Llama 3 70B's.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import memprof
from memprof.api import Tracing
from memprof.estimate import RunSpec
from samples.lab.recorded import after_calls, highest
from samples.lab.table import Result, Row, main

CACHE_OF_70B = LlamaConfig(
    vocab_size=512,
    hidden_size=64,
    intermediate_size=64,
    num_hidden_layers=80,
    num_attention_heads=8,
    num_key_value_heads=8,
    head_dim=128,
    pad_token_id=0,
    eos_token_id=511,
)


def measure(quick: bool) -> Result:
    """Generates, and holds the cache after every token against the formula."""
    batch, prompt, new = (2, 16, 6) if quick else (4, 32, 8)
    cached = prompt + new - 1  # the last token is never fed back
    tracing = generate(batch, prompt, new)
    kept = after_calls(tracing, "kv_cache", ("prefill", "decode"))
    (grown,) = {after - before for before, after in pairwise(kept)}
    estimate = memprof.estimate(
        CACHE_OF_70B, RunSpec("decode", batch, context=cached - 1, dtype="bf16")
    )
    each, copied = estimate.kv_cache_bytes_per_token, estimate.by_category["kv_cache"]
    rows = [
        Row("per token: 2 × 80 × 8 × 128 × 2 = 327,680 bytes", "2·L·k·d·e", each, grown / batch),
        Row(
            "grows linearly with batch size and sequence length",
            f"{each:,} B × batch {batch} × {cached} tokens",
            each * batch * cached,
            kept[-1],
        ),
        Row(
            "beside it: at its highest", copied.formula, copied.bytes, highest(tracing, "kv_cache")
        ),
        *computed(),
    ]
    return Result("KV cache growth per token", rows, [NOTE])


NOTE = (
    "A growing cache is highest while the last layer is replaced by a copy one token longer: "
    "the old keys or values are still there."
)


def computed() -> Iterator[Row]:
    each = memprof.estimate("llama-3-70b", RunSpec("decode", dtype="bf16")).kv_cache_bytes_per_token
    for claim, batch, tokens in (
        ("batch 32, 4096 tokens: 43 GB", 32, 4096),
        ("1M tokens: 330 GB", 1, 1_000_000),
    ):
        yield Row(claim, f"{each:,} B × batch {batch} × {tokens:,}", each * batch * tokens)


def generate(batch: int, prompt: int, new: int) -> Tracing:
    torch.manual_seed(0)
    model = LlamaForCausalLM(CACHE_OF_70B).to(torch.bfloat16).eval()
    tokens = torch.randint(1, CACHE_OF_70B.vocab_size - 1, (batch, prompt))
    with memprof.trace() as tracing:
        model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            min_new_tokens=new,
            max_new_tokens=new,
            do_sample=False,
        )
    return tracing


if __name__ == "__main__":
    main(measure)

"""One rank of many without the others, against the closed form of the same run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM

import memprof
from memprof.estimate import Parallelism, RunEstimate, RunSpec

TOKENS = 256
WORKSPACE = 32 << 20  # cuBLAS', of the program's thread and of autograd's


def config(**sizes: int) -> LlamaConfig:
    return LlamaConfig(
        **{
            "vocab_size": 4096,
            "hidden_size": 512,
            "intermediate_size": 1024,
            "num_hidden_layers": 3,
            "num_attention_heads": 8,
            "num_key_value_heads": 8,
            **sizes,
        }
    )


def train(model: Any, steps: int = 2) -> None:
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(steps):
        tokens = torch.randint(4096, (1, TOKENS), device="cuda")
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def estimated(model: LlamaConfig, **parallel: int) -> RunEstimate:
    run = RunSpec(
        tokens=TOKENS,
        optimizer="AdamW",
        outputs_kept=False,
        device="cuda",
        parallel=Parallelism(**parallel),
    )
    return memprof.estimate(model, run)


def highest(prediction: Any) -> dict[str, int]:
    peaks = prediction.analysis.device("cuda:0").category_peaks
    return {category: peak.bytes for category, peak in peaks.items()}


def test_what_fully_shard_exchanges_is_what_the_closed_form_says() -> None:
    sizes = config()
    with memprof.predict(ranks=8) as prediction:
        torch.distributed.init_process_group("nccl")
        model = LlamaForCausalLM(sizes)
        for layer in model.model.layers:
            fully_shard(layer)
        fully_shard(model)
        train(model.cuda())
    found, form = highest(prediction), estimated(sizes, dp=8, zero=3)
    for category in ("weights", "communication", "activations"):
        assert found[category] == pytest.approx(form.by_category[category].bytes, rel=1e-3)
    outside = 2 * 4 * 4096 * 512 + 4 * 512
    block = 4 * (4 * 512 * 512 + 3 * 512 * 1024 + 2 * 512)
    assert found["communication"] == 2 * (outside + block)
    head = 4 * (4096 * 512 + 512)
    assert form.peaks["backward"].by_category["gradients"].bytes == head + block
    assert found["gradients"] == head + block + 2 * block // 8
    deepest = form.peaks["backward"].by_category["communication"].bytes
    at_peak = prediction.analysis.device("cuda:0").peak.by_category
    assert at_peak["communication"] == deepest == outside + 3 * block

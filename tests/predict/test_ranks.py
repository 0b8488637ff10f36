"""One rank of many without the others, against the closed form of the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

import memprof
from memprof.errors import UsageError
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


def train(model: Any) -> None:
    """Two steps, of which the last one's gradients stay."""
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        tokens = torch.randint(4096, (1, TOKENS), device="cuda")
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        optimizer.step()


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


@pytest.mark.parametrize(
    ("strategy", "parallel"),
    [("fsdp2", {"dp": 8, "zero": 3}), ("ddp", {"dp": 8}), ("tp", {"tp": 8})],
)
def test_a_strategy_makes_what_the_closed_form_says(
    strategy: str, parallel: dict[str, int]
) -> None:
    sizes = config()
    with memprof.predict(ranks=8, strategy=strategy) as prediction:
        model = LlamaForCausalLM(sizes).cuda().to("cuda")
        train(model)
    found, form = highest(prediction), estimated(sizes, **parallel).by_category
    end = prediction.analysis.device("cuda:0").end.by_category
    assert end["weights"] == form["weights"].bytes
    assert found["optimizer_state"] == form["optimizer_state"].bytes
    table = 4 * 4096 * 512  # DTensor leaves the gradient of a split embedding whole
    whole = table * 7 // 8 if strategy == "tp" else 0
    assert end["gradients"] == form["gradients"].bytes + whole
    if strategy != "tp":
        broadcast = end["buffers"] if strategy == "ddp" else 0
        assert found["communication"] == form["communication"].bytes + broadcast


def layers() -> torch.nn.Sequential:
    wide = [torch.nn.Linear(300 + 100 * place, 400 + 100 * place) for place in range(6)]
    return torch.nn.Sequential(*wide)


def bucket_sizes(model: Any, device: str) -> str:
    """Sizes of the buckets that the reducer has after it has seen a backward."""
    wrapped = DistributedDataParallel(model.to(device), bucket_cap_mb=2)
    for _ in range(3):
        wrapped(torch.randn(4, 300, device=device)).sum().backward()
    log = wrapped._get_ddp_logging_data()
    return str(log.get("rebuilt_bucket_sizes") or log["bucket_sizes"])


def test_buckets_are_those_of_a_real_reducer(tmp_path: Path) -> None:
    with memprof.predict(ranks=8):
        torch.distributed.init_process_group("nccl")
        found = bucket_sizes(layers(), "cuda")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        expected = bucket_sizes(layers(), "cpu")
    finally:
        torch.distributed.destroy_process_group()
    assert len(expected.split(",")) > 2
    assert found == expected


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=2)), "no tp_plan"),
        (lambda: LlamaForCausalLM(config(num_key_value_heads=4)), "num_key_value_heads is 4"),
        (lambda: MixtralForCausalLM(MixtralConfig(num_hidden_layers=1)), "moe_tp_experts"),
    ],
)
def test_what_cannot_be_split_is_said(make: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text), memprof.predict(ranks=8, strategy="tp"):
        make().to("cuda")

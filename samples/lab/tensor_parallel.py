"""Tensor parallelism over two processes: the weights and the KV cache that each of them holds.

python -m samples.lab.tensor_parallel

transformers shards the model over gloo; each process records its own part.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import distributed, multiprocessing
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from transformers import LlamaConfig, LlamaForCausalLM

import memprof
from memprof.estimate import CacheOptions, Parallelism, RunSpec
from samples.lab.recorded import after_calls, highest
from samples.lab.table import Result, Row, main

WORLD, BATCH, PROMPT, NEW = 2, 2, 32, 4
SIZES = {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 1024}
COLUMNWISE = ("embed_tokens", "q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "lm_head")
ROWWISE = ("o_proj", "down_proj")


def measure(quick: bool) -> Result:
    """Shards a model over two processes that generate together."""
    width, layers = (128, 2) if quick else (512, 8)
    config = LlamaConfig(
        hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, **SIZES
    )
    with TemporaryDirectory() as folder:
        LlamaForCausalLM(config).save_pretrained(f"{folder}/model")
        multiprocessing.spawn(member, (folder,), WORLD)
        ranks = [json.loads(Path(folder, f"rank{rank}").read_text()) for rank in range(WORLD)]
    rows = [row for rank in range(WORLD) for row in of_rank(config, rank, ranks[rank])]
    return Result("Tensor parallelism", [*rows, *computed()], [NOTE])


NOTE = (
    "On the CPU a shard of consecutive rows is a view of the whole matrix that was read, which "
    "stays: until the shards are copied a process holds far more than its part. On the way to a "
    "GPU they are copied anyway."
)


def of_rank(config: LlamaConfig, rank: int, seen: dict[str, int]) -> Iterator[Row]:
    run = RunSpec("decode", BATCH, 1, PROMPT + NEW - 2, parallel=Parallelism(tp=WORLD))
    estimate = memprof.estimate(config, run)
    yield Row(
        f"TP: each GPU holds 1/{WORLD} of weights (rank {rank})",
        f"matrices split, norms on every rank: {estimate.by_category['weights'].formula}",
        estimate.by_category["weights"].bytes,
        seen["weights"],
    )
    if rank == 0:
        columns, rows, whole = sizes(config)
        yield Row(
            "beside it: shards that are views, rank 0",
            f"{columns:,} B + {rows:,} B / {WORLD} + {whole:,} B",
            columns + rows // WORLD + whole,
            seen["weights as loaded"],
        )
    each, tokens = estimate.kv_cache_bytes_per_token, PROMPT + NEW - 1
    yield Row(
        f"KV cache also split: each holds 1/{WORLD} (rank {rank})",
        f"{each:,} B × batch {BATCH} × {tokens} tokens",
        each * BATCH * tokens,
        seen["kv_cache"],
    )


def sizes(config: LlamaConfig) -> tuple[int, int, int]:
    """Bytes of matrices split by columns and by rows, and of what every rank has whole."""
    with torch.device("meta"):
        named = list(LlamaForCausalLM(config).named_parameters())
    columns = sum(each.nbytes for name, each in named if name.split(".")[-2] in COLUMNWISE)
    rows = sum(each.nbytes for name, each in named if name.split(".")[-2] in ROWWISE)
    return columns, rows, sum(each.nbytes for _, each in named) - columns - rows


def member(rank: int, folder: str) -> None:
    """One of the processes."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(WORLD))
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", store, rank=rank, world_size=WORLD)
    model = LlamaForCausalLM.from_pretrained(
        f"{folder}/model",
        tp_plan="auto",
        device_mesh=init_device_mesh("cpu", (WORLD,), mesh_dim_names=("tp",)),
    ).eval()
    with memprof.trace() as loaded, torch.no_grad():
        model(torch.ones(1, 1, dtype=torch.int64), use_cache=False)
    keep_shards_alone(model)
    seen = {"weights as loaded": highest(loaded, "weights"), **generate(model)}
    Path(folder, f"rank{rank}").write_text(json.dumps(seen))
    distributed.destroy_process_group()


def keep_shards_alone(model: LlamaForCausalLM) -> None:
    """Copies every shard, so that the matrix it is a view of can go."""
    for parameter in model.parameters():
        if isinstance(parameter, DTensor):
            shard = parameter.to_local().data
            parameter._local_tensor.data = shard.clone()


def generate(model: Any) -> dict[str, int]:
    prompt = torch.ones(BATCH, PROMPT, dtype=torch.int64)
    with memprof.trace() as tracing:
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=NEW,
            min_new_tokens=NEW,
            do_sample=False,
            pad_token_id=0,
        )
    kept = after_calls(tracing, "kv_cache", ("prefill", "decode"))[-1]
    return {"weights": highest(tracing, "weights"), "kv_cache": kept}


def computed() -> Iterator[Row]:
    """The article's case: Llama 3 70B on 4 and on 2 GPUs, batch 32 at 4096 tokens."""
    on_4 = RunSpec("decode", 32, 1, 4095, dtype="bf16", parallel=Parallelism(tp=4))
    packed = CacheOptions(kind="paged", dtype="int8")
    on_2 = replace(on_4, quantization="int4", cache=packed, parallel=Parallelism(tp=2))
    for run, claim, weights, cached in (
        (on_4, "TP=4", "35 GB of weights", "~20 GB of KV cache"),
        (on_2, "TP=2, INT4, INT8 cache", "17.5 GB of weights", "10 GB of KV cache"),
    ):
        estimate = memprof.estimate("llama-3-70b", run)
        told, each = estimate.by_category["weights"], estimate.kv_cache_bytes_per_token
        yield Row(f"{claim}: {weights} per GPU", told.formula, told.bytes)
        yield Row(f"{claim}: {cached} per GPU", f"{each:,} B × 32 × 4096", each * 32 * 4096)


if __name__ == "__main__":
    main(measure)

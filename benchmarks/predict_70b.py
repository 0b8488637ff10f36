"""Predicts a training step of Llama-3-70B, sharded over 8 GPUs with FSDP2, on this machine.

    python benchmarks/predict_70b.py --ranks 8 --layers 80

Prints what one rank needs, beside what its shards need by arithmetic, and what the prediction
itself took.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM

import memprof
from memprof.predict.answer import answer
from memprof.units import format_bytes

BYTES = 2  # of a weight in bfloat16, of its gradient, and of each of Adam's two moments


def config(layers: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=128256,
        hidden_size=8192,
        intermediate_size=28672,
        num_hidden_layers=layers,
        num_attention_heads=64,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        dtype=torch.bfloat16,
    )


def train(layers: int, tokens: int, steps: int) -> int:
    """The program: a rank's part of a training. Returns the number of parameters of the whole."""
    dist.init_process_group("nccl")
    with torch.device("meta"):
        model = LlamaForCausalLM(config(layers)).to(torch.bfloat16)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model.gradient_checkpointing_enable()
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    model.to_empty(device="cuda")
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(steps):
        batch = torch.randint(128256, (1, tokens), device="cuda")
        model(input_ids=batch, labels=batch, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return parameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--layers", type=int, default=80)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()

    begun = time.perf_counter()
    with memprof.predict(gpu="h100", ranks=options.ranks) as prediction:
        parameters = train(options.layers, options.tokens, options.steps)
    seconds = time.perf_counter() - begun
    document = answer(prediction.analysis, prediction.options)
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

    shard = parameters * BYTES // options.ranks
    by_category = document["peak"]["by_category"]
    highest = prediction.analysis.device("cuda:0").category_peaks
    print(f"{parameters / 1e9:.2f} G parameters, {options.ranks} ranks, h100-80gb")
    for name, expected in (
        ("weights", shard),
        ("gradients", shard),
        ("optimizer_state", 2 * shard),
    ):
        found = highest[name].bytes
        print(f"  {name:15} {format_bytes(found):>11}  shards alone {format_bytes(expected):>11}")
    print("at the peak:")
    for name, nbytes in by_category.items():
        if nbytes:
            print(f"  {name:15} {format_bytes(nbytes):>11}")
    for level in ("requested_bytes", "allocated_bytes", "reserved_bytes"):
        print(f"  {level.removesuffix('_bytes'):15} {format_bytes(document['peak'][level]):>11}")
    fit = document["fits"]["h100-80gb"]
    print(f"fits: {fit['fits']}, head-room {format_bytes(fit['headroom_bytes'])}")
    events = len(prediction.trace.events)
    print(f"{events:,} events in {seconds:.1f} s, {format_bytes(host)} of host memory")


if __name__ == "__main__":
    main()

"""Predicts a training step of Llama-3-70B, sharded over 8 GPUs with FSDP2, on this machine.

    python benchmarks/predict_70b.py --ranks 8 --layers 80

Prints what one rank needs by category, beside the closed form of `memprof.estimate`, why they
differ, and what the prediction itself took.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM

import memprof
from memprof.analyze import DeviceAnalysis
from memprof.estimate import Parallelism, RunEstimate, RunSpec
from memprof.predict.answer import answer
from memprof.units import format_bytes

#: Why a category of the prediction is not what the closed form says, at a peak in the optimizer.
AT_PEAK = {
    "buffers": "frequencies of the rotary embedding, which no configuration lists",
    "inputs": "ids and labels are one tensor in this program",
    "activations": "the loss, 4 B, is let go of before the step",
    "temporary": "cuBLAS' workspaces, 32 MiB each of the program's thread and of autograd's",
}
#: The same for each category at its own highest.
HIGHEST = {
    **AT_PEAK,
    "gradients": "the root's stay whole until the end of backward; the closed form has the end's",
    "activations": "a few bytes of masks and positions",
}


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


def closed_form(options: argparse.Namespace) -> RunEstimate:
    """The same run by arithmetic: weights, gradients and state split over the ranks (ZeRO 3)."""
    run = RunSpec(
        tokens=options.tokens,
        dtype="bfloat16",
        optimizer="AdamW",
        checkpointing="full",
        outputs_kept=False,
        device="cuda",
        parallel=Parallelism(dp=options.ranks, zero=3),
    )
    return memprof.estimate(config(options.layers), run)


def agreement(device: DeviceAnalysis, estimated: RunEstimate) -> None:
    """Prints every category as predicted and by the closed form: at the peak, and its highest."""
    at_peak, highest = estimated.fullest.highest, device.category_peaks
    sides = {name: part.bytes or 0 for name, part in at_peak.by_category.items()}
    print(f"at the peak, which the closed form sees at: {at_peak.name}")
    table(device.peak.by_category, sides, AT_PEAK if at_peak.name == "optimizer" else {})
    rest = {name: part.bytes or 0 for name, part in estimated.by_category.items()}
    print("each category's own highest:")
    table({name: peak.bytes for name, peak in highest.items()}, rest, HIGHEST)


def table(
    predicted: Mapping[str, int], estimated: Mapping[str, int], why: Mapping[str, str]
) -> None:
    """Prints the categories, the difference of each, and where there is one its cause."""
    rows = {name: (predicted.get(name, 0), estimated.get(name, 0)) for name in estimated}
    if why is not HIGHEST:
        rows["all"] = (sum(predicted.values()), sum(estimated.values()))
    print(f"  {'':15} {'predicted':>11} {'estimated':>11} {'difference':>11}")
    for name, (found, expected) in rows.items():
        if not found and not expected:
            continue
        percent = f"{found / expected - 1:+8.2%}" if expected else f"{'':8}"
        cause = why.get(name, "") if found != expected else ""
        difference = ("-" if found < expected else "+") + format_bytes(abs(found - expected))
        print(
            f"  {name:15} {format_bytes(found):>11} {format_bytes(expected):>11}"
            f" {difference:>11} {percent} {cause}".rstrip()
        )


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

    print(f"{parameters / 1e9:.2f} G parameters, {options.ranks} ranks, h100-80gb")
    agreement(prediction.analysis.device("cuda:0"), closed_form(options))
    for level in ("requested_bytes", "allocated_bytes", "reserved_bytes"):
        print(f"  {level.removesuffix('_bytes'):15} {format_bytes(document['peak'][level]):>11}")
    fit = document["fits"]["h100-80gb"]
    print(f"fits: {fit['fits']}, head-room {format_bytes(fit['headroom_bytes'])}")
    events = len(prediction.trace.events)
    print(f"{events:,} events in {seconds:.1f} s, {format_bytes(host)} of host memory")


if __name__ == "__main__":
    main()

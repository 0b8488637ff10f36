"""Weights, gradients and optimizer state of training: the article's Adam, and others.

python -m samples.lab.training
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import bitsandbytes
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import memprof
from memprof.api import Tracing
from memprof.estimate import RunSpec
from samples.lab.recorded import highest
from samples.lab.table import Result, Row, main

SMALL = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1024}
QUICK = LlamaConfig(hidden_size=128, intermediate_size=256, num_hidden_layers=2, **SMALL)
FULL = LlamaConfig(hidden_size=512, intermediate_size=1408, num_hidden_layers=8, **SMALL)

#: Optimizers of torch.optim by their claim: class, options, dtype of the parameters.
OF_TORCH = {
    "Adam stores two values per parameter; with FP32 8 bytes": ("Adam", {}, "float32"),
    "beside it: AdamW, its state as narrow as BF16 weights": ("AdamW", {}, "bfloat16"),
    "beside it: SGD": ("SGD", {}, "float32"),
    "beside it: SGD with momentum": ("SGD", {"momentum": 0.9}, "float32"),
    "beside it: Adafactor, a row and a column of each matrix": ("Adafactor", {}, "float32"),
}


def measure(quick: bool) -> Result:
    """Trains two steps with each optimizer, and holds what it keeps against the formula."""
    config = QUICK if quick else FULL
    rows = [*the_article(config), *of_torch(config), eight_bits(config)]
    return Result("Training", rows, [NOTE])


NOTE = (
    "84 GB for 7B is 12 bytes a parameter: 16-bit weights and gradients and 32-bit moments without "
    "32-bit master weights, as bitsandbytes keeps them. With float32 weights PyTorch's Adam takes "
    "16 (112 GB), with bfloat16 weights and nothing else 8 (56 GB): 84 is no minimum."
)


def the_article(config: LlamaConfig) -> Iterator[Row]:
    """FP16 weights and gradients, FP32 momentum and variance: bitsandbytes' AdamW does that."""
    tracing = train(config, torch.bfloat16, bitsandbytes.optim.AdamW)
    estimate = memprof.estimate(config, RunSpec(dtype="bf16", optimizer="AdamW"))
    for category, claim in (("weights", "weights: 14 GB"), ("gradients", "gradients: 14 GB")):
        told = estimate.by_category[category]
        yield Row(f"7B, 16-bit {claim}", told.formula, told.bytes, highest(tracing, category))
    count = estimate.parameters or 0
    yield Row(
        "7B, 32-bit momentum and variance: 28 + 28 GB",
        f"2 × 4 B × {count:,} parameters",
        8 * count,
        highest(tracing, "optimizer_state"),
    )
    yield Row("7B with Adam: 84 GB", "(2 + 2 + 4 + 4) B × 7,000,000,000", 12 * 7e9)


def of_torch(config: LlamaConfig) -> Iterator[Row]:
    for claim, (name, options, dtype) in OF_TORCH.items():
        run = RunSpec(dtype=dtype, optimizer=name, optimizer_options=options)
        told = memprof.estimate(config, run).by_category["optimizer_state"]
        make = partial(getattr(torch.optim, name), lr=1e-3, **options)
        tracing = train(config, getattr(torch, dtype), make)
        yield Row(claim, told.formula, told.bytes, highest(tracing, "optimizer_state"))


def eight_bits(config: LlamaConfig) -> Row:
    """One byte a value, a scale for every 256, two shared tables; small tensors stay whole."""
    tracing = train(config, torch.float32, bitsandbytes.optim.AdamW8bit)
    sizes = [p.numel() for p in LlamaForCausalLM(config).to("meta").parameters()]
    quantised = [size for size in sizes if size >= 4096]
    whole, small = sum(quantised), sum(sizes) - sum(quantised)
    scales = sum(-(-size // 256) for size in quantised)
    return Row(
        "beside it: 8-bit AdamW",
        f"2 × ({whole:,} × 1 B + {scales:,} scales × 4 B + 1,024 B table) + {small:,} × 8 B",
        2 * (whole + 4 * scales + 1024) + 8 * small,
        highest(tracing, "optimizer_state"),
    )


def train(
    config: LlamaConfig, dtype: torch.dtype, make: Callable[..., torch.optim.Optimizer]
) -> Tracing:
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(dtype)
    optimizer = make(model.parameters())
    tokens = torch.randint(config.vocab_size, (2, 16))
    with memprof.trace() as tracing:
        for _ in range(2):
            model(input_ids=tokens, labels=tokens).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return tracing


if __name__ == "__main__":
    main(measure)

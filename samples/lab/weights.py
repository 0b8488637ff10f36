"""The weights of one model in every dtype: parameters × bytes of each.

python -m samples.lab.weights
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from transformers import GPT2Config, GPT2LMHeadModel

import memprof
from memprof.estimate import RunSpec
from samples.lab.recorded import highest
from samples.lab.table import Result, Row, main

DTYPES = {
    "float32": "FP32: 4 bytes per parameter",
    "float16": "FP16: 2 bytes",
    "bfloat16": "BF16: 2 bytes",
    "float8_e4m3fn": "beside it: FP8, 1 byte",
}

MODELS = {
    "llama-2-7b": "7B parameters → 14 GB",
    "llama-2-13b": "13B parameters → 26 GB",
    "qwen2.5-32b": "32B parameters → 64 GB",
    "llama-3-70b": "70B parameters → 140 GB",
    "llama-3.1-405b": "405B parameters (Llama 3.1) → 810 GB",
}


def measure(quick: bool) -> Result:
    """Makes GPT-2 in each dtype and holds its weights against the formula."""
    config = GPT2Config(n_layer=2, n_embd=192) if quick else GPT2Config()
    rows = [in_dtype(config, dtype, claim) for dtype, claim in DTYPES.items()]
    return Result("Weights by dtype", [*rows, *computed()])


def in_dtype(config: GPT2Config, dtype: str, claim: str) -> Row:
    estimate = memprof.estimate(config, RunSpec(dtype=dtype)).by_category["weights"]
    model = GPT2LMHeadModel(config).to(getattr(torch, dtype))
    with memprof.trace() as tracing:
        model.get_input_embeddings()(torch.zeros(1, 1, dtype=torch.int64))
    return Row(claim, estimate.formula, estimate.bytes, highest(tracing, "weights"))


def computed() -> Iterator[Row]:
    """The models that the article means, as they are."""
    for name, claim in MODELS.items():
        told = memprof.estimate(name, RunSpec("decode", dtype="fp16")).by_category["weights"]
        yield Row(claim, f"{name}: {told.formula}", told.bytes)


if __name__ == "__main__":
    main(measure)

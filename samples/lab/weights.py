"""The weights of one model in every dtype: parameters × bytes of each.

python -m samples.lab.weights
"""

from __future__ import annotations

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
    "float8_e4m3fn": "(none of FP8: 1 byte)",
}


def measure(quick: bool) -> Result:
    """Makes GPT-2 in each dtype and holds its weights against the formula."""
    config = GPT2Config(n_layer=2, n_embd=192) if quick else GPT2Config()
    rows = [in_dtype(config, dtype, claim) for dtype, claim in DTYPES.items()]
    return Result("Weights by dtype", rows)


def in_dtype(config: GPT2Config, dtype: str, claim: str) -> Row:
    estimate = memprof.estimate(config, RunSpec(dtype=dtype)).by_category["weights"]
    model = GPT2LMHeadModel(config).to(getattr(torch, dtype))
    with memprof.trace() as tracing:
        model.get_input_embeddings()(torch.zeros(1, 1, dtype=torch.int64))
    return Row(claim, estimate.formula, estimate.bytes, highest(tracing, "weights"))


if __name__ == "__main__":
    main(measure)

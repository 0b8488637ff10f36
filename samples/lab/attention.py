"""Eager attention against SDPA: what each holds at once, over the length n.

python -m samples.lab.attention
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import LlamaConfig, LlamaForCausalLM

import memprof
from memprof.analyze import Moment
from memprof.estimate import RunSpec
from samples.lab.recorded import highest
from samples.lab.table import Result, Row, main

HEADS, WIDTH = 4, 32
CONFIG = LlamaConfig(
    vocab_size=64,
    hidden_size=HEADS * WIDTH,
    intermediate_size=128,
    num_hidden_layers=1,
    num_attention_heads=HEADS,
    num_key_value_heads=HEADS,
    max_position_embeddings=65_536,
)


def measure(quick: bool) -> Result:
    """Prefills and trains with both, and fits the exponent of n."""
    short = [256, 512, 1024] if quick else [512, 1024, 2048, 4096]
    long = [2048, 4096, 8192] if quick else [2048, 4096, 8192, 16_384]
    eager, sdpa = [prefill("eager", n) for n in short], [prefill("sdpa", n) for n in long]
    rows = [
        scores(eager[-1], short[-1]),
        exponent("standard attention: O(n²) memory", 2, short, eager),
        exponent("Flash Attention: O(n) memory", 1, long, sdpa),
        *kept_for_backward(short[-2]),
        flash(4096 if quick else 65_536),
        *computed(),
    ]
    return Result("Eager attention against SDPA", rows, NOTES)


NOTES = (
    "Exponents are fitted to what each doubling of n adds, which leaves constant parts out.",
    "“Flash, 64K: ~100 MB” names no model: output and log-sum-exp of one sequence in one layer are "
    "104 MB with 12 heads of 64, 545 MB with the 32 of 128 of a 7B model.",
)


def prefill(kind: str, tokens: int) -> Moment:
    """The highest moment of a forward pass without gradients."""
    model = LlamaForCausalLM(CONFIG).to(torch.bfloat16).eval()
    model.set_attn_implementation(kind)
    prompt = torch.randint(CONFIG.vocab_size, (1, tokens))
    with memprof.trace(detail="ops") as tracing, torch.no_grad():
        model.model(prompt, use_cache=False)
    return tracing.peak()


def scores(peak: Moment, n: int) -> Row:
    """All matrices of n × n a head that exist at once."""
    one = 2 * HEADS * n * n
    matrices = [row for row in peak.live().rows() if row.bytes >= one]
    return Row(
        "scores: batch × heads × n × n × 2 bytes, before softmax",
        f"(2 scores + 4 in float32 + 4 softmax) B × {HEADS} heads × {n}²",
        5 * one,
        sum(row.bytes for row in matrices),
    )


def exponent(claim: str, expected: int, lengths: Sequence[int], peaks: Sequence[Moment]) -> Row:
    """The slope of log(bytes added by a doubling) over log n."""
    held = [peak.by_category["temporary"] for peak in peaks]
    added = [math.log2(after - before) for before, after in pairwise(held)]
    slopes = [after - before for before, after in pairwise(added)]
    return Row(
        claim,
        f"exponent of n from {lengths[0]:,} to {lengths[-1]:,} tokens",
        expected,
        sum(slopes) / len(slopes),
        unit="",
        within=0.05,
    )


def kept_for_backward(n: int) -> Iterator[Row]:
    for kind in ("eager", "sdpa"):
        run = RunSpec(tokens=n, dtype="bf16", attention=kind)
        estimate = memprof.estimate(CONFIG, run).by_category["activations"]
        model = LlamaForCausalLM(CONFIG).to(torch.bfloat16)
        model.set_attn_implementation(kind)
        tokens = torch.randint(CONFIG.vocab_size, (1, n))
        with memprof.trace() as tracing:
            output = model(input_ids=tokens, labels=tokens)
            output.loss.backward()
        yield Row(
            f"beside it: what {kind} keeps for backward",
            re.sub(r" \([^)]*\)", "", estimate.formula),  # without the largest tensors
            estimate.bytes,
            highest(tracing, "activations"),
            within=0.01,
        )


def flash(n: int) -> Row:
    """What SDPA leaves behind of a sequence: its output and one float32 a query."""
    query = torch.randn(1, 1, n, 64, dtype=torch.bfloat16, requires_grad=True)
    with memprof.trace() as tracing:
        output = scaled_dot_product_attention(query, query, query, is_causal=True)
    left = tracing.analysis.device("cpu").end.requested_bytes - query.nbytes
    assert output.shape == query.shape
    return Row(
        f"{n:,} tokens with Flash Attention: O(n)",
        f"{n:,} × (64 × 2 B output + 4 B log-sum-exp) of one head",
        n * (64 * 2 + 4),
        left,
    )


def computed() -> Iterator[Row]:
    n = 65_536
    yield Row("32 × 32 × 4096² × 2 bytes = 34 GB", "b·a·n²·2", 32 * 32 * 4096**2 * 2)
    yield Row("64K, standard: terabytes", f"32 heads × {n:,}² × 2 B, one layer", 32 * n * n * 2)
    yield Row("64K, Flash Attention: ~100 MB", f"{n:,} × 32 heads × (128 × 2 + 4) B", n * 32 * 260)


if __name__ == "__main__":
    main(measure, threads=0)

"""Mixture of experts: the weights that are there, and those that a step reads.

python -m samples.lab.experts
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean

import torch
from transformers import MixtralConfig, MixtralForCausalLM

import memprof
from memprof.estimate import RunSpec
from memprof.estimate.experts import read_bytes, touched_experts
from samples.lab.recorded import highest
from samples.lab.table import Result, Row, main
from samples.lab.traffic import Traffic

CONFIG = MixtralConfig(
    vocab_size=1024,
    hidden_size=128,
    intermediate_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    num_local_experts=8,
    num_experts_per_tok=2,
)


def measure(quick: bool) -> Result:
    """Calls a small Mixtral with more and more tokens, and counts the weights it reads."""
    torch.manual_seed(0)
    model = MixtralForCausalLM(CONFIG).eval()
    model.set_experts_implementation("eager")  # an expert that no token asks for is not read
    resident = memprof.estimate(CONFIG, RunSpec("prefill")).by_category["weights"]
    with memprof.trace() as tracing, torch.no_grad():
        model(torch.zeros(1, 1, dtype=torch.int64), use_cache=False)
    rows = [
        Row(
            "Mixtral 8x7B: 47B total = 94 GB stay resident",
            resident.formula,
            resident.bytes,
            highest(tracing, "weights"),
        ),
        *touched(model, 20 if quick else 100),
        *computed(),
    ]
    return Result("Mixture of experts", rows, [NOTE])


NOTE = (
    "Two experts a token is what one token reads. A batch reads what any of its tokens needs: with "
    "8 tokens nearly all of the model."
)


def touched(model: MixtralForCausalLM, draws: int) -> Iterator[Row]:
    spec = memprof.estimate(CONFIG, RunSpec("decode")).model
    for tokens in (1, 2, 4, 8, 16):
        yield Row(
            "Active experts per token: 2"
            if tokens == 1
            else f"beside it: a step of {tokens} tokens",
            f"8·(1 - (1 - 2/8)^{tokens}) = {touched_experts(8, 2, tokens):.3g} of 8 experts "
            "in each layer, and all else",
            read_bytes(spec, tokens),
            mean(read(model, tokens) for _ in range(draws)),
            within=0.0 if tokens == 1 else 0.05,
        )


def read(model: MixtralForCausalLM, tokens: int) -> int:
    """Bytes of weights that one step reads, for sequences of one token each."""
    prompt = torch.randint(CONFIG.vocab_size, (tokens, 1))
    with torch.no_grad(), Traffic(model.parameters()) as traffic:
        model(prompt, use_cache=False)
    return traffic.weights


def computed() -> Iterator[Row]:
    mixtral = memprof.estimate("mixtral-8x7b", RunSpec("decode", dtype="fp16"))
    whole, active = mixtral.by_category["weights"], mixtral.active_parameters
    yield Row("47B total FP16 = 94 GB", whole.formula, whole.bytes)
    yield Row("2 active experts: 12B = 24 GB", f"{active:,} × 2 B", 2 * active)
    for tokens in (8, 16):
        yield Row(
            f"total active memory ~25 GB (of one token; here {tokens})",
            f"{touched_experts(8, 2, tokens):.3g} of 8 experts in each layer, and all else",
            read_bytes(mixtral.model, tokens),
        )


if __name__ == "__main__":
    main(measure)

"""Activations of training over batch, length and dtype, with and without checkpointing.

python -m samples.lab.activations
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import memprof
from memprof.estimate import RunSpec
from samples.lab.recorded import highest
from samples.lab.table import Result, Row, main

LLAMA = LlamaConfig(
    vocab_size=1024,
    hidden_size=256,
    intermediate_size=704,
    num_hidden_layers=4,
    num_attention_heads=8,
    num_key_value_heads=4,
)
GPT2 = GPT2Config(vocab_size=1024, n_embd=256, n_layer=4, n_head=8, use_cache=False)


@dataclass(frozen=True)
class Case:
    """One way to call a model."""

    config: LlamaConfig | GPT2Config
    batch: int
    tokens: int
    dtype: str = "float32"
    checkpointing: bool = False

    def __str__(self) -> str:
        kept = ", checkpointed" if self.checkpointing else ""
        return f"{self.config.model_type}, {self.batch} × {self.tokens}, {self.dtype}{kept}"


def measure(quick: bool) -> Result:
    """Trains one step of each case, and holds the activations at their highest to the formula."""
    shapes = [(1, 64), (2, 64), (2, 128)] if quick else [(1, 128), (2, 128), (4, 128), (4, 256)]
    rows = list(over(shapes))
    return Result("Activations", rows, [NOTE])


NOTE = (
    "Without checkpointing activations grow with batch × length; with it, what stays of each block "
    "is its input, and one block's activations are made again at a time."
)


def over(shapes: list[tuple[int, int]]) -> Iterator[Row]:
    for batch, tokens in shapes:
        yield row(Case(LLAMA, batch, tokens))
    yield row(Case(LLAMA, *shapes[-1], checkpointing=True))
    yield row(Case(LLAMA, *shapes[-1], "bfloat16"))
    yield row(Case(LLAMA, *shapes[-1], "bfloat16", checkpointing=True))
    yield row(Case(GPT2, *shapes[-1]))
    yield row(Case(GPT2, *shapes[-1], checkpointing=True))


def row(case: Case) -> Row:
    run = RunSpec(
        batch=case.batch,
        tokens=case.tokens,
        dtype=case.dtype,
        checkpointing=case.checkpointing,
        optimizer="SGD",
    )
    estimate = memprof.estimate(case.config, run).by_category["activations"]
    return Row(
        f"scales with batch size and sequence length: {case}",
        re.sub(r" \([^)]*\)", "", estimate.formula),  # without the largest tensors of a block
        estimate.bytes,
        trained(case),
        within=0.01,
    )


def trained(case: Case) -> int:
    """The most bytes of activations in a training step."""
    kind = LlamaForCausalLM if isinstance(case.config, LlamaConfig) else GPT2LMHeadModel
    model = kind(case.config).to(getattr(torch, case.dtype))
    if case.checkpointing:
        model.gradient_checkpointing_enable()
    tokens = torch.randint(1024, (case.batch, case.tokens))
    with memprof.trace() as tracing:
        output = model(input_ids=tokens, labels=tokens)
        output.loss.backward()
    return highest(tracing, "activations")


if __name__ == "__main__":
    main(measure)

"""Speculative decoding: what two models hold, and the weights read for each token that is kept.

python -m samples.lab.speculation

Both models are of random weights. The draft is the first layers of the target, whose other layers
change little: so it guesses right about as often as a trained draft does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import memprof
from memprof.api import Tracing
from memprof.estimate import RunSpec
from memprof.estimate.speculation import accepted_tokens, speculation
from samples.lab.recorded import after_calls, highest
from samples.lab.table import Result, Row, main
from samples.lab.traffic import Traffic

GUESSES, PROMPT, NEVER = 4, 16, -1
DEPTH, DRAFT_DEPTH = 8, 1


def config(layers: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        eos_token_id=NEVER,
    )


def measure(quick: bool) -> Result:
    """Generates with and without a draft, and counts the weights that both read."""
    new = 24 if quick else 128
    target, draft = models()
    with memprof.trace() as tracing:
        both = generate(target, draft, new)
    alone = generate(target, None, new)
    calls = read_by_a_call(target), read_by_a_call(draft)
    rows = [*resident(tracing, both), *read(both, alone, calls, new), *computed()]
    return Result("Speculative decoding", rows, [NOTE])


NOTE = (
    "(140 GB + 2 GB) / 4 takes every guess for right, the draft for read once instead of four "
    "times, and forgets the token that the target adds itself."
)


def resident(tracing: Tracing, both: Generated) -> Iterator[Row]:
    """Weights, and the caches when the target has checked the last guesses."""
    target, draft = (memprof.estimate(config(n), RunSpec("decode")) for n in (DEPTH, DRAFT_DEPTH))
    weights = [each.by_category["weights"] for each in (target, draft)]
    yield Row(
        "70B target and 1B draft: both are resident",
        " + ".join(each.formula for each in weights),
        sum(each.bytes for each in weights),
        highest(tracing, "weights"),
    )
    big, small = target.kv_cache_bytes_per_token, draft.kv_cache_bytes_per_token
    yield Row(
        "beside it: both have a KV cache",
        f"{big:,} B × {both.cached[-1]} tokens + {small:,} B × {both.drafted} tokens",
        big * both.cached[-1] + small * both.drafted,
        after_calls(tracing, "kv_cache", ("prefill", "decode"))[-1],
    )


def read(both: Generated, alone: Generated, calls: tuple[int, int], new: int) -> Iterator[Row]:
    """Bytes of weights for each new token, without and with a draft."""
    big, small = calls
    told = both.passes * big + both.guesses * small
    yield Row(
        "Standard: each token loads all weights",
        "every weight, of the table a row",
        big,
        alone.read / new,
        within=0.001,
    )
    alpha = acceptance(both.kept)
    yield Row(
        "verifies all 4 in one forward pass",
        f"1 + α + … + α^{GUESSES} tokens a pass at α = {alpha:.2f} seen",
        accepted_tokens(alpha, GUESSES),
        sum(both.kept) / len(both.kept),
        unit="tokens",
        within=None,
    )
    yield Row(
        "Memory per verified token: (target + draft) / 4",
        f"({both.passes} passes × {big:,} B + {both.guesses} guesses × {small:,} B) / {new} tokens",
        told / new,
        both.read / new,
        within=0.001,
    )
    yield Row(
        "4x reduction in memory bandwidth requirement",
        "bytes read for a token without a draft / with it",
        big * new / told,
        alone.read / both.read,
        unit="x",
        within=0.001,
    )


def models() -> tuple[LlamaForCausalLM, LlamaForCausalLM]:
    torch.manual_seed(0)
    target, draft = (LlamaForCausalLM(config(n)).eval() for n in (DEPTH, DRAFT_DEPTH))
    for parameter in target.parameters():
        if parameter.ndim == 2:
            parameter.data *= 3  # what is said next depends on what was said
    for layer in target.model.layers[DRAFT_DEPTH:]:
        layer.mlp.down_proj.weight.data *= 0.08
        layer.self_attn.o_proj.weight.data *= 0.08
    draft.load_state_dict(target.state_dict(), strict=False)
    draft.generation_config.num_assistant_tokens = GUESSES
    draft.generation_config.num_assistant_tokens_schedule = "constant"
    draft.generation_config.assistant_confidence_threshold = 0.0
    return target, draft


@dataclass
class Generated:
    """What a generation came to.

    Attributes:
        cached: tokens in the target's cache after each of its passes, wrong guesses among them.
        kept: tokens that each pass but the first has added: right guesses, and one more.
        drafted: tokens in the draft's cache after its last call.
        guesses: calls of the draft.
        read: bytes of weights that operations read.
    """

    cached: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    drafted: int = 0
    guesses: int = 0
    read: int = 0

    @property
    def passes(self) -> int:
        return len(self.cached)


def generate(target: LlamaForCausalLM, draft: LlamaForCausalLM | None, new: int) -> Generated:
    """Generates greedily, and counts."""
    found, before = Generated(), list[int]()

    def target_called(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        length = kwargs["past_key_values"].get_seq_length()
        found.cached.append(length)
        before.append(length - kwargs["input_ids"].shape[1])

    def draft_called(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        found.guesses += 1
        found.drafted = kwargs["past_key_values"].get_seq_length()

    handles = [target.register_forward_hook(target_called, with_kwargs=True)]
    handles += [draft.register_forward_hook(draft_called, with_kwargs=True)] if draft else []
    prompt = torch.randint(1, 512, (1, PROMPT), generator=torch.Generator().manual_seed(0))
    with Traffic([*target.parameters(), *(draft.parameters() if draft else ())]) as traffic:
        target.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            assistant_model=draft,
            do_sample=False,
            max_new_tokens=new,
        )
    for handle in handles:
        handle.remove()
    found.read = traffic.weights
    found.kept = [after - begin for begin, after in pairwise(before)][1:]
    return found


def read_by_a_call(model: LlamaForCausalLM) -> int:
    """Bytes of weights that a call for one token reads: all but the other rows of the table."""
    with Traffic(model.parameters()) as traffic, torch.no_grad():
        model(torch.ones(1, 1, dtype=torch.int64), use_cache=False)
    return traffic.weights


def acceptance(kept: list[int]) -> float:
    """The part of the guesses looked at that were right: up to the first wrong one of a pass."""
    right = sum(tokens - 1 for tokens in kept)
    wrong = sum(tokens <= GUESSES for tokens in kept)
    return right / (right + wrong)


def computed() -> Iterator[Row]:
    yield Row("4 speculative tokens: 35.5 GB", "(140 + 2) GB / 4", 142e9 / 4)
    for alpha in (0.6, 0.8, 1.0):
        told = speculation(target=140 * 10**9, draft=2 * 10**9, proposals=GUESSES, acceptance=alpha)
        yield Row(
            f"beside it: α = {alpha}",
            f"(140 + {GUESSES} × 2) GB / {told.tokens_per_round:.3g} tokens a pass",
            told.bytes_per_token,
        )


if __name__ == "__main__":
    main(measure)

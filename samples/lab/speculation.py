"""Speculative decoding: what two models hold, and the weights read for each token that is kept.

python -m samples.lab.speculation

Both models are of random weights. The draft is the first layers of the target, whose other layers
change little: so it guesses right about as often as a trained draft does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import memprof
from memprof.estimate import RunSpec
from samples.lab.recorded import highest
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
    weights = [memprof.estimate(config(n), RunSpec("decode")) for n in (DEPTH, DRAFT_DEPTH)]
    with memprof.trace() as tracing:
        kept, speculative = generate(target, draft, new)
    _, plain = generate(target, None, new)
    each, alpha = sum(kept) / len(kept), acceptance(kept)
    big, small = read_by_a_call(target), read_by_a_call(draft)
    rows = [
        Row(
            "70B target and 1B draft: both are resident",
            " + ".join(each.by_category["weights"].formula for each in weights),
            sum(each.by_category["weights"].bytes for each in weights),
            highest(tracing, "weights"),
        ),
        Row("Standard: every token loads all weights", "weights of a call", big, plain, within=0.01),
        Row(
            "verifies all 4 in one forward pass",
            f"(1 - α^{GUESSES + 1}) / (1 - α) tokens a pass at α = {alpha:.2f} seen",
            (1 - alpha ** (GUESSES + 1)) / (1 - alpha),
            each,
            unit="tokens",
            within=None,
        ),
        Row(
            "Memory per verified token: (target + draft) / 4",
            f"({big:,} B + {GUESSES} × {small:,} B) / {each:.3g} tokens a pass",
            (big + GUESSES * small) / each,
            speculative,
            within=0.05,
        ),
        Row(
            "4x reduction in memory bandwidth requirement",
            "bytes read per token without a draft / with it",
            big * each / (big + GUESSES * small),
            plain / speculative,
            unit="x",
            within=0.05,
        ),
        *computed(),
    ]
    return Result("Speculative decoding", rows, [NOTE])


NOTE = (
    "(140 GB + 2 GB) / 4 takes every guess for right, the draft for read once instead of four "
    "times, and forgets the token that the target adds itself."
)


def models() -> tuple[LlamaForCausalLM, LlamaForCausalLM]:
    torch.manual_seed(0)
    target, draft = (LlamaForCausalLM(config(n)).eval() for n in (DEPTH, DRAFT_DEPTH))
    for parameter in target.parameters():
        if parameter.ndim == 2:
            parameter.data *= 3  # what is said next depends on what was said
    for layer in target.model.layers[DRAFT_DEPTH:]:
        layer.mlp.down_proj.weight.data *= 0.02
        layer.self_attn.o_proj.weight.data *= 0.02
    draft.load_state_dict(target.state_dict(), strict=False)
    draft.generation_config.num_assistant_tokens = GUESSES
    draft.generation_config.num_assistant_tokens_schedule = "constant"
    draft.generation_config.assistant_confidence_threshold = 0.0
    return target, draft


def generate(
    target: LlamaForCausalLM, draft: LlamaForCausalLM | None, new: int
) -> tuple[list[int], float]:
    """Generates greedily.

    Returns:
        The tokens that each pass of the target after the first has added: the guesses that were
        right, and one of its own; and the bytes of weights read for each new token.
    """
    context: list[int] = []

    def called(module: Any, args: Any, kwargs: Any) -> None:
        context.append(kwargs["past_key_values"].get_seq_length())

    handle = target.register_forward_pre_hook(called, with_kwargs=True)
    both = [*target.parameters(), *(draft.parameters() if draft else ())]
    prompt = torch.randint(1, 512, (1, PROMPT), generator=torch.Generator().manual_seed(0))
    with Traffic(both) as traffic:
        target.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            assistant_model=draft,
            do_sample=False,
            max_new_tokens=new,
        )
    handle.remove()
    return [after - before for before, after in pairwise(context)][1:], traffic.weights / new


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
        each = sum(alpha**guess for guess in range(GUESSES + 1))
        yield Row(
            f"(none of α = {alpha})",
            f"(140 + 4 × 2) GB / {each:.3g} tokens a pass",
            (140e9 + GUESSES * 2e9) / each,
        )


if __name__ == "__main__":
    main(measure)

"""The closed forms against a walk over the autograd graph of the real model."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from memprof.estimate import ModelSpec, RunSpec
from memprof.estimate.activations import activations
from tests.estimate.oracle import activation_bytes
from tests.estimate.zoo import VOCABULARY, fact_of, gpt2, llama

BFLOAT16, FLOAT16 = torch.bfloat16, torch.float16


def walked_and_estimated(
    model: Any, batch: int = 2, tokens: int = 12, padding: int = 0, autocast: str = ""
) -> tuple[int, int | None]:
    ids = torch.randint(1, VOCABULARY, (batch, tokens))
    labels, mask = ids.clone(), torch.ones_like(ids)
    mask[0, tokens - padding :] = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=bool(autocast)):
        output = model(input_ids=ids, labels=labels, attention_mask=mask)
    run = RunSpec(
        batch=batch,
        tokens=tokens,
        padded=padding > 0,
        autocast=autocast,
        dropout=model.training,
        dtype=str(model.dtype).removeprefix("torch."),
    )
    estimate = activations(ModelSpec.from_fact(fact_of(model)), run)
    return activation_bytes(model, [ids, labels, mask], output), estimate.bytes


QWEN3_MOE: dict[str, Any] = {
    "kind": "Qwen3Moe",
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
}
LLAMAS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bfloat16": {"dtype": BFLOAT16},
    "float16": {"dtype": FLOAT16},
    "eager": {"attn_implementation": "eager"},
    "eager bfloat16": {"attn_implementation": "eager", "dtype": BFLOAT16},
    "all heads": {"num_key_value_heads": 4},
    "all heads eager": {"num_key_value_heads": 4, "attn_implementation": "eager"},
    "one key head": {"num_key_value_heads": 1, "dtype": BFLOAT16},
    "one key head eager": {"num_key_value_heads": 1, "attn_implementation": "eager"},
    "eager without cache": {"attn_implementation": "eager", "use_cache": False},
    "eager dropout": {"attn_implementation": "eager", "attention_dropout": 0.2},
    "eager dropout bfloat16": {
        "attn_implementation": "eager",
        "attention_dropout": 0.2,
        "dtype": BFLOAT16,
    },
    "wide heads": {"head_dim": 16},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "tied": {"tie_word_embeddings": True},
    "gelu": {"hidden_act": "gelu"},
    "deep": {"num_hidden_layers": 4},
    "mistral with a window": {"kind": "Mistral", "sliding_window": 5},
    "mistral with a window bfloat16": {"kind": "Mistral", "sliding_window": 5, "dtype": BFLOAT16},
    "mistral with a long window": {"kind": "Mistral", "sliding_window": 50},
    "gemma": {"kind": "Gemma", "head_dim": 12},
    "gemma bfloat16": {"kind": "Gemma", "head_dim": 12, "dtype": BFLOAT16},
    "gemma2": {"kind": "Gemma2", "head_dim": 12, "attn_implementation": "eager"},
    "gemma2 bfloat16": {
        "kind": "Gemma2",
        "head_dim": 12,
        "attn_implementation": "eager",
        "dtype": BFLOAT16,
        "num_hidden_layers": 3,
    },
    "gemma3": {"kind": "Gemma3", "head_dim": 12},
    "gemma3 bfloat16": {
        "kind": "Gemma3",
        "head_dim": 12,
        "dtype": BFLOAT16,
        "num_hidden_layers": 7,
    },
    "qwen3": {"kind": "Qwen3", "head_dim": 12},
    "qwen3 bfloat16": {"kind": "Qwen3", "head_dim": 8, "dtype": BFLOAT16},
    "qwen3 eager": {"kind": "Qwen3", "head_dim": 8, "attn_implementation": "eager"},
    "mixtral": {"kind": "Mixtral", "num_local_experts": 4},
    "mixtral bfloat16": {"kind": "Mixtral", "num_local_experts": 5, "dtype": BFLOAT16},
    "mixtral of three": {"kind": "Mixtral", "num_experts_per_tok": 3},
    "qwen3 moe plain bfloat16": {**QWEN3_MOE, "dtype": BFLOAT16},
    "qwen3 moe": {**QWEN3_MOE, "num_experts": 6},
    "qwen3 moe bfloat16": {
        **QWEN3_MOE,
        "norm_topk_prob": True,
        "dtype": BFLOAT16,
    },
    "qwen2": {"kind": "Qwen2"},
    "qwen2 bfloat16": {"kind": "Qwen2", "dtype": BFLOAT16, "num_key_value_heads": 4},
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", LLAMAS)
def test_llama_like_models_to_the_byte(name: str, batch: int) -> None:
    walked, estimated = walked_and_estimated(llama(**LLAMAS[name]), batch)
    assert estimated == walked


GPT2S: dict[str, dict[str, Any]] = {
    "plain": {},
    "bfloat16": {"dtype": BFLOAT16},
    "eager": {"attn_implementation": "eager"},
    "eager bfloat16": {"attn_implementation": "eager", "dtype": BFLOAT16},
    "no dropout": {"dropout": 0.0},
    "no dropout bfloat16": {"dropout": 0.0, "dtype": BFLOAT16},
    "no dropout eager": {"dropout": 0.0, "attn_implementation": "eager"},
    "without cache": {"use_cache": False},
    "gelu": {"activation_function": "gelu"},
    "relu": {"activation_function": "relu"},
    "wide": {"n_inner": 100},
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", GPT2S)
def test_gpt2_to_the_byte(name: str, batch: int) -> None:
    walked, estimated = walked_and_estimated(gpt2(**GPT2S[name]), batch)
    assert estimated == walked


@pytest.mark.parametrize("tokens", [1, 2, 31])
def test_any_length(tokens: int) -> None:
    for model in (llama(), gpt2()):
        walked, estimated = walked_and_estimated(model, tokens=tokens)
        assert estimated == walked


def test_evaluation_mode_has_no_dropout() -> None:
    walked, estimated = walked_and_estimated(gpt2().eval())
    assert estimated == walked


@pytest.mark.parametrize("dtype", [torch.float32, BFLOAT16])
def test_padding_gives_attention_a_mask(dtype: torch.dtype) -> None:
    for model in (llama(dtype=dtype), gpt2(dtype=dtype, dropout=0.0)):
        walked, estimated = walked_and_estimated(model, padding=4)
        assert estimated == walked


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_key_value_heads": 4},
        {"use_cache": False},
        {"kind": "Qwen2"},
        {"head_dim": 16},
        {"kind": "Qwen3", "head_dim": 12},
        {"kind": "Mixtral", "num_local_experts": 4},
        QWEN3_MOE,
    ],
)
def test_autocast(options: dict[str, Any], batch: int) -> None:
    walked, estimated = walked_and_estimated(llama(**options), batch, autocast="bfloat16")
    assert estimated == walked


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("options", [{}, {"use_cache": False}, {"n_inner": 100}])
def test_autocast_of_gpt2(options: dict[str, Any], batch: int) -> None:
    model = gpt2(dropout=0.0, **options)
    walked, estimated = walked_and_estimated(model, batch, autocast="bfloat16")
    assert estimated == walked


def test_autocast_of_gpt2_with_dropout_outside_of_attention() -> None:
    model = gpt2(attn_pdrop=0.0)
    walked, estimated = walked_and_estimated(model, 2, autocast="bfloat16")
    assert estimated == walked


def test_outputs_that_the_program_drops_are_not_counted() -> None:
    spec, run = ModelSpec.from_fact(fact_of(llama())), RunSpec(batch=2, tokens=12)
    kept = activations(spec, run).bytes
    dropped = activations(spec, replace(run, outputs_kept=False)).bytes
    assert kept is not None
    assert dropped is not None
    assert kept - dropped == 2 * 12 * VOCABULARY * 4


@pytest.mark.parametrize(
    ("make", "run", "reason"),
    [
        (lambda: llama("Olmo2"), RunSpec(tokens=4), "olmo2"),
        (lambda: llama("Gemma"), RunSpec(tokens=4, autocast="bfloat16"), "Gemma"),
        (lambda: llama(hidden_act="relu"), RunSpec(tokens=4), "relu"),
        (lambda: llama(attention_dropout=0.1), RunSpec(tokens=4), "dropout"),
        (
            lambda: llama(attn_implementation="eager"),
            RunSpec(tokens=4, attention="flex_attention"),
            "flex",
        ),
        (lambda: gpt2(), RunSpec(tokens=4, autocast="bfloat16"), "attention dropout"),
        (
            lambda: llama(attn_implementation="eager"),
            RunSpec(tokens=4, autocast="bfloat16"),
            "autocast",
        ),
        (lambda: llama(), RunSpec(tokens=4, loss=False), "loss"),
        (lambda: gpt2(reorder_and_upcast_attn=True), RunSpec(tokens=4), "reorder_and_upcast_attn"),
        (lambda: gpt2(activation_function="tanh"), RunSpec(tokens=4), "tanh"),
        (lambda: gpt2(), RunSpec(tokens=4, device="cuda"), "device"),
    ],
)
def test_what_the_formulas_do_not_cover_says_so(
    make: Callable[[], Any], run: RunSpec, reason: str
) -> None:
    estimate = activations(ModelSpec.from_fact(fact_of(make())), run)
    assert estimate.bytes is None
    assert reason in estimate.formula


def test_frozen_weights_are_not_guessed_at() -> None:
    model = llama()
    model.lm_head.requires_grad_(False)
    estimate = activations(ModelSpec.from_fact(fact_of(model)), RunSpec(tokens=4))
    assert estimate.bytes is None
    assert "frozen" in estimate.formula

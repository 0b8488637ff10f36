"""A whole run's estimate against traces of that run."""

from typing import Any

import pytest
import torch
import transformers as hf

import memprof
from memprof.errors import UsageError
from memprof.estimate import RunSpec, estimate
from memprof.trace import CATEGORIES
from tests.estimate.zoo import VOCABULARY, fact_of, gpt2, llama

pytestmark = pytest.mark.usefixtures("alone")


def traced_step(model: Any, optimizer: torch.optim.Optimizer, batch: int, tokens: int) -> Any:
    """The second of two steps: all state is there when it begins."""
    with memprof.trace() as traced:
        for _ in range(2):
            ids = torch.randint(1, VOCABULARY, (batch, tokens))
            output = model(input_ids=ids, labels=ids.clone())
            output.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            del output
    return traced


CASES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "llama": (llama, "AdamW", {}),
    "llama foreach": (llama, "AdamW", {"foreach": True}),
    "llama bfloat16": (lambda: llama(dtype=torch.bfloat16), "AdamW", {}),
    "llama deep and narrow": (lambda: llama(num_hidden_layers=6), "SGD", {}),
    "llama wide": (lambda: llama(hidden_size=64, intermediate_size=256), "SGD", {}),
    "llama momentum": (llama, "SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    "gpt2": (gpt2, "AdamW", {}),
    "gpt2 bfloat16": (lambda: gpt2(dtype=torch.bfloat16), "Adam", {"amsgrad": True}),
}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_the_peak_of_a_training_step(name: str, checkpointing: bool) -> None:
    make, optimizer, options = CASES[name]
    model = make()
    if checkpointing:
        model.activation_checkpointing_enable()
    updating = getattr(torch.optim, optimizer)(model.parameters(), lr=1e-3, **options)
    traced = traced_step(model, updating, batch=3, tokens=20)
    run = RunSpec(
        batch=3,
        tokens=20,
        optimizer=optimizer,
        optimizer_options=options,
        checkpointing=checkpointing,
    )
    found = estimate(fact_of(model), run)
    assert found.peak_bytes == pytest.approx(traced.peak("cpu").requested_bytes, rel=0.02)
    assert set(found.peaks) == {"loss", "backward", "optimizer"}


def test_a_configuration_is_enough() -> None:
    model = llama()
    run = RunSpec(batch=2, tokens=10, optimizer="adamw")
    from_fact, from_config = estimate(fact_of(model), run), estimate(model.config, run)
    assert from_config.peak_bytes is not None
    for category in ("weights", "gradients", "optimizer_state", "activations"):
        known = from_fact.by_category[category].bytes
        assert from_config.by_category[category].bytes == known, category
    assert from_config.parameters == sum(p.numel() for p in model.parameters())


def test_generation() -> None:
    config = hf.LlamaConfig(num_hidden_layers=2, hidden_size=64, num_attention_heads=4)
    run = RunSpec(mode="decode", batch=2, tokens=1, context=99, dtype="bf16")
    found = estimate(config.to_dict(), run)
    assert found.kv_cache_bytes_per_token == 2 * 2 * 64 * 2
    cached = found.by_category["kv_cache"].bytes
    assert cached is not None
    assert cached >= 2 * 100 * 512
    assert found.by_category["gradients"].bytes == 0
    peak = found.peaks["decode"]
    assert found.peak_bytes == sum(part.bytes or 0 for part in peak.by_category.values())
    assert found.peak_bytes < cached + (found.by_category["weights"].bytes or 0) + 1e6


def test_working_memory_that_no_formula_knows_is_said_to_come_on_top() -> None:
    config = hf.Phi3Config(num_hidden_layers=2, hidden_size=64, num_attention_heads=4)
    found = estimate(config.to_dict(), RunSpec(mode="decode", batch=2, context=99))
    held = found.by_category
    known = (held["weights"].bytes or 0) + (held["kv_cache"].bytes or 0) + 2 * 8
    assert found.peak_bytes == known
    assert held["temporary"].bytes is None
    assert any("working memory comes on top" in text for text in found.assumptions)


def test_recurrent_generation() -> None:
    config = hf.MambaConfig(num_hidden_layers=2, hidden_size=32)
    found = estimate(config, RunSpec(mode="decode", batch=3))
    assert found.kv_cache_bytes_per_token is None
    assert found.by_category["recurrent_state"].bytes == 2 * 64 * (16 + 4) * 4 * 3
    model = hf.MambaForCausalLM(config)
    weights = sum(p.nbytes for p in model.parameters())
    assert found.peak_bytes == weights + 2 * 64 * (16 + 4) * 4 * 3 + 3 * 8


def test_every_category_is_there_and_gaps_are_explained() -> None:
    found = estimate(hf.T5Config().to_dict(), RunSpec())
    assert set(found.by_category) == set(CATEGORIES)
    for part in found.by_category.values():
        assert part.bytes is not None or part.formula.startswith("not estimated: ")


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(UsageError, match="'lion' is unknown"):
        estimate(hf.GPT2Config(n_layer=1), RunSpec(optimizer="lion"))

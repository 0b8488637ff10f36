"""Weights, gradients, optimizer state, caches and states: equal to the byte to what memprof sees.

The configurations are drawn at random, so none of them was looked at when the formulas were made.
"""

import random
from typing import Any

import pytest
import torch
import transformers as hf

import memprof
from memprof.estimate import RunSpec, estimate

pytestmark = pytest.mark.usefixtures("alone")

EXACT = ("weights", "gradients", "optimizer_state")
OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("AdamW", {}),
    ("Adam", {"amsgrad": True}),
    ("SGD", {"momentum": 0.9}),
    ("RMSprop", {"centered": True}),
    ("Adafactor", {}),
    ("Adagrad", {}),
]
FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Mixtral", "Qwen3Moe", "Phi3", "GPT2")


def drawn(family: str, seed: int) -> Any:
    """A configuration of a family, its sizes drawn."""
    chance = random.Random(f"{family} {seed}")
    heads = chance.choice([2, 4, 6])
    width = chance.choice([8, 12, 16])
    keys = chance.choice([each for each in (1, 2, 3) if heads % each == 0])
    sizes: dict[str, Any] = {
        "vocab_size": chance.randint(50, 300),
        "hidden_size": heads * width,
        "intermediate_size": 8 * chance.randint(2, 20),
        "num_hidden_layers": chance.randint(1, 4),
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "tie_word_embeddings": chance.random() < 0.5,
    }
    if family == "GPT2":
        return hf.GPT2Config(
            vocab_size=sizes["vocab_size"],
            n_embd=sizes["hidden_size"],
            n_layer=sizes["num_hidden_layers"],
            n_head=heads,
            n_positions=64,
        )
    if family in ("Qwen3", "Gemma", "Qwen3Moe"):
        sizes["head_dim"] = width
    if family == "Qwen3Moe":
        sizes |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    if family == "Mixtral":
        sizes["num_local_experts"] = chance.randint(2, 6)
    if family == "Phi3":
        sizes["pad_token_id"] = 0
    return getattr(hf, f"{family}Config")(**sizes)


@pytest.mark.parametrize("family", FAMILIES)
def test_training(family: str) -> None:
    config, chance = drawn(family, 1), random.Random(family)
    model = hf.AutoModelForCausalLM.from_config(config).train()
    dtype = chance.choice([torch.float32, torch.bfloat16])
    model.to(dtype)
    name, options = chance.choice(OPTIMIZERS)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=1e-3, **options)
    with memprof.trace() as traced:
        for _ in range(2):
            ids = torch.randint(1, config.vocab_size, (2, 9))
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    run = RunSpec(
        batch=2,
        tokens=9,
        dtype=str(dtype).removeprefix("torch."),
        optimizer=name,
        optimizer_options=options,
    )
    found = estimate(config, run).by_category
    measured = traced.analysis.device("cpu").category_peaks
    assert {n: measured[n].bytes for n in EXACT} == {n: found[n].bytes for n in EXACT}


@pytest.mark.parametrize("family", [*FAMILIES[:5], "Phi3", "GPT2"])
def test_generation(family: str) -> None:
    config, chance = drawn(family, 2), random.Random(family)
    model = hf.AutoModelForCausalLM.from_config(config).eval()
    batch, prompt, new = chance.randint(1, 3), chance.randint(3, 20), chance.randint(3, 12)
    ids = torch.randint(1, config.vocab_size, (batch, prompt))
    with memprof.trace() as traced, torch.no_grad():
        model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
    run = RunSpec(mode="decode", batch=batch, tokens=1, context=prompt + new - 2)
    found = estimate(config, run).by_category
    measured = traced.analysis.device("cpu").category_peaks
    assert measured["weights"].bytes == found["weights"].bytes
    prefilled = estimate(config, RunSpec(mode="prefill", batch=batch, tokens=prompt)).by_category
    highest = max(found["kv_cache"].bytes or 0, prefilled["kv_cache"].bytes or 0)
    assert measured["kv_cache"].bytes == highest


RECURRENT = {
    "mamba": hf.MambaConfig(hidden_size=40, num_hidden_layers=3, vocab_size=70, state_size=6),
    "mamba2": hf.Mamba2Config(
        hidden_size=48, num_hidden_layers=2, vocab_size=70, num_heads=6, head_dim=16, n_groups=2,
        state_size=12,
    ),
    "jamba": hf.JambaConfig(
        hidden_size=48, intermediate_size=64, num_attention_heads=4, num_key_value_heads=2,
        num_hidden_layers=6, vocab_size=70, num_experts=2, mamba_dt_rank=3, mamba_d_state=6,
    ),
    "rwkv": hf.RwkvConfig(hidden_size=24, num_hidden_layers=3, vocab_size=70, context_length=64),
}  # fmt: skip


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_generation(name: str) -> None:
    config = RECURRENT[name]
    model = hf.AutoModelForCausalLM.from_config(config).eval()
    ids = torch.randint(1, 70, (2, 7))
    with memprof.trace() as traced, torch.no_grad():
        model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False,
            eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
    found = estimate(config, RunSpec(mode="decode", batch=2, context=9)).by_category
    measured = traced.analysis.device("cpu").category_peaks
    for category in ("weights", "recurrent_state", "kv_cache"):
        assert measured[category].bytes == found[category].bytes, category

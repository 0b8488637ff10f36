"""What this model may hold. Sizes are for all together unless a category is named."""

from __future__ import annotations

import pytest
import torch
from model import batch, build, train_step


@pytest.fixture
def model():
    return build()


@pytest.fixture
def optimizer(model):
    return torch.optim.AdamW(model.parameters(), lr=3e-4)


@pytest.mark.memory_ceiling("10 MiB", activations="7 MiB")
@pytest.mark.memory_leak("0 B")
def test_a_training_step(model, optimizer):
    train_step(model, optimizer, size=8)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.memory_ceiling(activations=lambda size: size << 20)
def test_activations_grow_with_the_batch(model, optimizer, size):
    train_step(model, optimizer, size)


@pytest.mark.memory_matches_estimate(
    tolerance="1%", categories=["weights", "gradients", "optimizer_state", "activations"]
)
def test_training_needs_what_analysis_says(model, optimizer):
    train_step(model, optimizer, size=8)


@pytest.mark.memory_ceiling("1 MiB", on="end")
def test_nothing_is_kept_of_an_evaluation(model):
    with torch.no_grad():
        model(input_ids=batch(8), use_cache=False)


def test_the_cache_of_a_generation(model, memprof):
    with memprof.ceiling("1 MiB", kv_cache="100 KiB") as t, torch.no_grad():
        model.generate(batch(2), max_new_tokens=16, do_sample=False, pad_token_id=0)
    assert t.peak.by_category["activations"] == 0


@pytest.mark.memory_ceiling("1 GiB", device="cuda:0")
def test_on_a_card(model):
    model.to("cuda:0")(input_ids=batch(8).to("cuda:0"))

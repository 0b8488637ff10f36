"""transformers' models that are neither Llama nor GPT-2, trained and run with a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, tensors
from tests.libraries.test_transformers_generation import deepseek_v3, qwen3_moe, whisper
from tests.oracle.programs import models

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:::transformers")

Make = Callable[[], torch.nn.Module]
STEPS = 2


def train(model: torch.nn.Module, inputs: dict[str, Any], watch: Watch) -> None:
    optimizer = torch.optim.AdamW(model.parameters())
    for step in range(STEPS):
        model(**inputs).loss.backward()
        watch.model(model, f"after backward {step}")
        watch.holds("inputs", inputs)
        optimizer.step()
        optimizer.zero_grad()
        watch.model(model, f"after step {step}")
        watch.holds("optimizer_state", list(optimizer.state.values()))


def words() -> dict[str, torch.Tensor]:
    tokens = torch.randint(1, models.VOCABULARY, (2, 16))
    return {"input_ids": tokens, "labels": tokens}


def pictures() -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.randn(2, 3, 32, 32), "labels": torch.tensor([0, 1])}


def speech() -> dict[str, torch.Tensor]:
    return {"input_features": torch.randn(2, 16, 128), "labels": words()["labels"]}


def vit() -> torch.nn.Module:
    config = transformers.ViTConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        image_size=32,
        patch_size=8,
        num_labels=3,
    )
    return transformers.ViTForImageClassification(config)


@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (vit, pictures),
        (whisper, speech),
        (deepseek_v3, words),
        (qwen3_moe, words),
        (models.rwkv, words),
    ],
    ids=["ViT", "Whisper", "DeepSeek-V3", "Qwen3-MoE", "RWKV"],
)
def test_training(record: Record, make: Make, inputs: Callable[[], dict[str, Any]]) -> None:
    def program(watch: Watch) -> None:
        train(make().train(), inputs(), watch)

    recorded = record(program)
    assert recorded.phases().count("optimizer") == STEPS
    assert recorded.highest("activations") > 0
    assert recorded.highest("kv_cache") == recorded.highest("recurrent_state") == 0


def test_rwkv_fed_its_own_state_by_position(record: Record) -> None:
    """The state is passed where the arguments stand, not by name, and changed in place."""
    model = models.rwkv().eval()

    def program(watch: Watch) -> None:
        state = None
        with torch.inference_mode():
            for token in torch.randint(1, models.VOCABULARY, (6, 2, 1)):
                out = model(token, None, None, state, use_cache=True)
                state = out.state
                watch.holds("recurrent_state", list(tensors(state)))
        watch.model(model)

    record(program)

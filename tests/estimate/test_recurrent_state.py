"""States of recurrent models against the tensors that transformers' models return."""

from typing import Any

import pytest
import torch
import transformers as hf

from memprof.estimate.recurrent_state import STATES, recurrent_state
from tests.estimate.oracle import cache_tensors, storage_bytes, tensors_within

MODELS: dict[str, tuple[Any, Any]] = {
    "mamba": (
        hf.MambaForCausalLM,
        hf.MambaConfig(vocab_size=31, hidden_size=32, num_hidden_layers=2, state_size=8),
    ),
    "mamba2": (
        hf.Mamba2ForCausalLM,
        hf.Mamba2Config(
            vocab_size=31,
            hidden_size=32,
            num_hidden_layers=2,
            state_size=8,
            num_heads=4,
            head_dim=16,
            n_groups=2,
        ),
    ),
    "rwkv": (
        hf.RwkvForCausalLM,
        hf.RwkvConfig(
            vocab_size=31,
            hidden_size=32,
            num_hidden_layers=2,
            attention_hidden_size=32,
            context_length=32,
        ),
    ),
}


@pytest.mark.parametrize("tokens", [3, 9])
@pytest.mark.parametrize("name", MODELS)
def test_to_the_byte_at_any_length(name: str, tokens: int) -> None:
    cls, config = MODELS[name]
    model = cls(config).eval()
    with torch.no_grad():
        out = model(input_ids=torch.randint(1, 31, (3, tokens)), use_cache=True)
    held = out.state if name == "rwkv" else cache_tensors(out.cache_params)
    estimate = recurrent_state(config.to_dict(), batch=3, itemsize=4)
    assert estimate.bytes == storage_bytes(tensors_within(held))


def test_every_known_state_has_its_formula() -> None:
    for kind in STATES:
        missing = recurrent_state({"model_type": kind}, 1, 4)
        assert missing.bytes is None
        assert "lacks" in missing.formula


def test_an_unknown_state_is_not_guessed_at() -> None:
    estimate = recurrent_state({"model_type": "bamba"}, 1, 4)
    assert estimate.bytes is None
    assert "bamba" in estimate.formula

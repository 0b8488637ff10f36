"""Generation's working memory, and its peak, against traces of that generation."""

from typing import Any

import pytest
import torch

import memprof
from memprof.estimate import RunSpec, estimate
from tests.estimate.zoo import VOCABULARY, llama

pytestmark = pytest.mark.usefixtures("alone")


def generated(model: Any, batch: int, prompt: int, new: int) -> Any:
    ids = torch.randint(1, VOCABULARY, (batch, prompt))
    with memprof.trace() as traced, torch.no_grad():
        model.generate(ids, max_new_tokens=new, do_sample=False, eos_token_id=None)
    return traced.peak("cpu")


CASES: dict[str, dict[str, Any]] = {
    "wide MLP": {},
    "narrow MLP": {"intermediate_size": 16},
    "bfloat16": {"dtype": torch.bfloat16},
    "bfloat16, narrow MLP": {"dtype": torch.bfloat16, "intermediate_size": 16},
    "all heads": {"num_key_value_heads": 4, "intermediate_size": 200},
    "mistral": {"kind": "Mistral", "sliding_window": None},
    "qwen3": {"kind": "Qwen3", "head_dim": 8},
    "qwen3 bfloat16": {"kind": "Qwen3", "head_dim": 16, "dtype": torch.bfloat16},
    "qwen3, narrow MLP": {"kind": "Qwen3", "head_dim": 8, "intermediate_size": 16},
    "qwen2": {"kind": "Qwen2", "num_key_value_heads": 1},
}


@pytest.mark.parametrize("name", CASES)
def test_prefill(name: str) -> None:
    model = llama(**CASES[name]).eval()
    peak = generated(model, batch=3, prompt=48, new=2)
    dtype = str(model.dtype).removeprefix("torch.")
    run = RunSpec(mode="prefill", batch=3, tokens=48, dtype=dtype)
    found = estimate(model.config, run)
    held = found.peaks["prefill"].by_category
    assert peak.phase.endswith("prefill")
    assert peak.by_category["kv_cache"] == held["kv_cache"].bytes
    assert peak.by_category["temporary"] == pytest.approx(held["temporary"].bytes, abs=64)
    assert found.peak_bytes == pytest.approx(peak.requested_bytes, rel=0.02)


def test_decode() -> None:
    model = llama(num_hidden_layers=3, num_key_value_heads=4).eval()
    peak = generated(model, batch=4, prompt=8, new=56)
    assert peak.phase.endswith("decode")
    found = estimate(model.config, RunSpec(mode="decode", batch=4, tokens=1, context=62))
    assert peak.by_category["kv_cache"] == found.peaks["decode"].by_category["kv_cache"].bytes
    assert found.peak_bytes == pytest.approx(peak.requested_bytes, rel=0.02)

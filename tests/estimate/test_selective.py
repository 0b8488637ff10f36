"""Selective checkpointing: eager attention's core computed again, as 2205.05198 does it."""

import gc
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface
from transformers.models.llama.modeling_llama import eager_attention_forward

import memprof
from memprof.estimate import ModelSpec, RunSpec, estimate
from memprof.estimate.activations import forward_end, stack_of
from tests.estimate.zoo import VOCABULARY, fact_of, llama


def recomputed(module: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> Any:
    return checkpoint(
        eager_attention_forward, module, query, key, value, mask, use_reentrant=False, **kwargs
    )


@pytest.fixture
def selective() -> str:
    AttentionInterface.register("recomputed_eager", recomputed)
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    eager = ALL_MASK_ATTENTION_FUNCTIONS["eager"]
    ALL_MASK_ATTENTION_FUNCTIONS.register("recomputed_eager", eager)
    return "recomputed_eager"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("keys", [2, 4])
def test_what_is_kept_when_forward_ends(selective: str, dtype: torch.dtype, keys: int) -> None:
    options = {"num_hidden_layers": 3, "num_key_value_heads": keys}
    model = llama(dtype=dtype, attn_implementation=selective, **options)
    ids = torch.randint(1, VOCABULARY, (2, 48))
    held = alive_after_forward(model, ids)
    run = RunSpec(batch=2, tokens=48, checkpointing="selective", attention="eager")
    spec = ModelSpec.from_fact(fact_of(model))
    kept = forward_end(stack_of(spec, run), run)
    plain = replace(run, checkpointing="none")
    assert kept == pytest.approx(held, rel=0.005)
    assert kept < 0.85 * forward_end(stack_of(spec, plain), plain)


def alive_after_forward(model: Any, ids: torch.Tensor) -> int:
    """Bytes that are there when a call has ended, and were not before."""
    gc.collect()  # what other tests have left would be found, and counted
    with memprof.trace() as traced:
        output = model(input_ids=ids, labels=ids)
    device = traced.analysis.device("cpu")
    held = device.at_event(int(device.events[-1])).by_category
    del output
    there = ("weights", "buffers", "inputs")
    return sum(nbytes for name, nbytes in held.items() if name not in there)


def test_the_peak_lies_between_all_and_nothing_recomputed() -> None:
    config = llama(attn_implementation="eager").config
    runs = [
        RunSpec(batch=2, tokens=256, checkpointing=how, attention="eager")
        for how in ("full", "selective", "none")
    ]
    full, selective, none = (estimate(config, run).peak_bytes or 0 for run in runs)
    assert full < selective < none

"""A static cache for more tokens than come, one that is full, and one that grows."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from memprof.analyze.findings import Finding
from tests.analyze.findings.recorded import RECORDERS, found
from tests.estimate.zoo import llama

PROMPT, NEW, BATCH = 16, 8, 2
HELD = PROMPT + NEW - 1  # the last token generated is never given to the model


def generate(cache: hf.Cache, recorder: str) -> list[Finding]:
    model = llama().eval()
    ids = torch.randint(1, 90, (BATCH, PROMPT))

    def program() -> None:
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            past_key_values=cache,
            max_new_tokens=NEW,
            min_new_tokens=NEW,
            pad_token_id=0,
        )

    return found(program, recorder, "unused_cache")


def static(slots: int) -> hf.StaticCache:
    return hf.StaticCache(config=llama().config, max_cache_len=slots)


@pytest.mark.parametrize("recorder", RECORDERS)
def test_slots_that_no_token_came_to_are_told(recorder: str) -> None:
    cache = static(512)

    (finding,) = generate(cache, recorder)

    tensors = [each for layer in cache.layers for each in (layer.keys, layer.values)]
    slots = [tensor[:, :, HELD:] for tensor in tensors]
    assert finding.bytes == sum(part.numel() * part.element_size() for part in slots)
    assert not any(part.any() for part in slots)
    assert all(tensor[:, :, HELD - 1].any() for tensor in tensors)
    assert f"max_cache_len={HELD}" in finding.fix


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_full_cache_and_one_that_grows_are_not_told(recorder: str) -> None:
    assert generate(static(HELD), recorder) == []
    assert generate(hf.DynamicCache(), recorder) == []

"""torch.compile: a model trained compiled, and generation with a static cache."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, attributes_of
from tests.oracle.programs import models

transformers = pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.filterwarnings("ignore:::(transformers|torch)"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler"),
]

STEPS, NEW, PROMPT = 2, 4, 6


def small(**options: Any) -> torch.nn.Module:
    return models.llama(num_hidden_layers=1, **options)


def test_training_with_compiled_blocks(record: Record) -> None:
    def program(watch: Watch) -> None:
        torch._dynamo.reset()
        model = small()
        for layer in model.model.layers:
            layer.mlp.compile()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(STEPS):
            tokens = torch.randint(1, models.VOCABULARY, (2, 16))
            model(input_ids=tokens, labels=tokens).loss.backward()
            watch.model(model, "after backward")
            optimizer.step()
            optimizer.zero_grad()
            watch.model(model, "after step")
            watch.holds("optimizer_state", list(optimizer.state.values()))

    recorded = record(program)
    assert recorded.phases().count("optimizer") == STEPS
    assert recorded.highest("activations") > 0


def test_generation_with_a_static_cache(record: Record) -> None:
    model = small().eval()
    tokens = torch.randint(1, models.VOCABULARY, (1, PROMPT))

    def program(watch: Watch) -> None:
        torch._dynamo.reset()
        step = torch.compile(model, fullgraph=False)
        with torch.no_grad():
            cache = transformers.StaticCache(config=model.config, max_cache_len=32)
            token = tokens
            for _ in range(NEW):
                run = model if token is tokens else step
                logits = run(input_ids=token, past_key_values=cache, use_cache=True).logits
                token = logits[:, -1:].argmax(-1)
                held = [attributes_of(layer) for layer in cache.layers]
                watch.holds("kv_cache", held)
        watch.model(model)

    recorded = record(program)
    assert recorded.highest("kv_cache") > 0

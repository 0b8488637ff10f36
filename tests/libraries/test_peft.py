"""peft's LoRA: frozen and trainable parameters told apart."""

from __future__ import annotations

import pytest
import torch

from memprof.analyze.trainable import weights_at
from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, bytes_of, rows
from tests.oracle.programs import models

peft = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore:::(peft|transformers)")

STEPS = 2
TARGETS = ["q_proj", "v_proj"]


def adapted() -> torch.nn.Module:
    config = peft.LoraConfig(r=4, target_modules=TARGETS, task_type="CAUSAL_LM")
    return peft.get_peft_model(models.llama(), config)


def train(watch: Watch, model: torch.nn.Module) -> None:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable)
    for _ in range(STEPS):
        tokens = torch.randint(1, models.VOCABULARY, (2, 16))
        model(input_ids=tokens, labels=tokens).loss.backward()
        watch.model(model, "after backward")
        optimizer.step()
        optimizer.zero_grad()
        watch.model(model, "after step")
        watch.holds("optimizer_state", list(optimizer.state.values()))


def test_lora(record: Record) -> None:
    sizes: dict[bool, int] = {}

    def program(watch: Watch) -> None:
        model = adapted()
        for trains in (True, False):
            sizes[trains] = bytes_of([p for p in model.parameters() if p.requires_grad == trains])
        train(watch, model)

    recorded = record(program)
    weights = rows(recorded.peak, "weights")
    names = {row.name: row.bytes for row in weights}
    assert all(names), "every weight has a name"
    facts = recorded.analysis.trace.facts_of("model")[-1]["parameters"]
    told = {fact["name"]: fact["requires_grad"] for fact in facts}
    for trains in (True, False):
        assert sum(n for name, n in names.items() if told[name] == trains) == sizes[trains]
    split = weights_at(recorded.analysis.trace, recorded.peak)
    assert (split.trained_bytes, split.frozen_bytes) == (sizes[True], sizes[False])
    assert split.other_bytes == 0
    assert {row.name for row in rows(recorded.at_highest("gradients"), "gradients")} == {
        name for name, trains in told.items() if trains
    }


def test_lora_merged_while_it_generates(record: Record) -> None:
    model = adapted().eval()
    tokens = torch.randint(1, models.VOCABULARY, (2, 8))

    def program(watch: Watch) -> None:
        options = {"max_new_tokens": 4, "min_new_tokens": 4, "pad_token_id": 0, "do_sample": False}
        model.generate(input_ids=tokens, attention_mask=torch.ones_like(tokens), **options)
        watch.model(model, "before merging")
        merged = model.merge_and_unload()
        merged.generate(input_ids=tokens, attention_mask=torch.ones_like(tokens), **options)
        watch.model(merged, "merged")

    recorded = record(program)
    assert recorded.phases().count("prefill") == 2

"""transformers' Trainer: accumulated gradients, bfloat16 autocast, checkpointing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch
from tests.oracle.programs import models

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:::(transformers|accelerate)")

STEPS, MICRO, TOKENS = 2, 2, 16


class Claims(transformers.TrainerCallback):
    """Claims what the trainer's own objects hold, after each step."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **held: Any) -> None:
        gradients = [parameter.grad for parameter in held["model"].parameters()]
        assert all(gradient is not None for gradient in gradients)
        self.watch.holds("gradients", gradients, where=f"before step {state.global_step}")

    def on_step_end(self, args: Any, state: Any, control: Any, **held: Any) -> None:
        where = f"after step {state.global_step}"
        self.watch.model(held["model"], where)
        states = list(held["optimizer"].state.values())
        assert states
        self.watch.holds("optimizer_state", states, where=where)


def train(folder: Path, watch: Watch, **options: Any) -> None:
    model = models.llama()
    rows = [{"input_ids": row, "labels": row} for row in torch.randint(1, 500, (8, TOKENS))]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=MICRO,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        **options,
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=rows, callbacks=[Claims(watch)])
    trainer.train()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bf16": True},
        {"gradient_checkpointing": True},
        {"bf16": True, "gradient_checkpointing": True, "optim": "adafactor"},
    ],
    ids=lambda options: ", ".join(options) or "plain",
)
def test_trainer(record: Record, tmp_path: Path, options: dict[str, Any]) -> None:
    recorded = record(lambda watch: train(tmp_path, watch, **options))
    assert recorded.phases().count("optimizer") == STEPS
    assert recorded.phases().count("forward") == STEPS * MICRO
    assert ("recompute" in recorded.phases()) == ("gradient_checkpointing" in options)
    assert recorded.highest("activations") > 0

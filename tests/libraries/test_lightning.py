"""Lightning's Trainer, without logger and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, rows

lightning = pytest.importorskip("lightning.pytorch")
pytestmark = pytest.mark.filterwarnings("ignore:::(lightning|torch)")

ROWS, WIDTH, STEPS = 32, 64, 3


class Noise(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return STEPS * ROWS

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(WIDTH), torch.randn(1)


class Net(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(WIDTH, 256), nn.BatchNorm1d(256), nn.ReLU())
        self.head = nn.Linear(256, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.net(x))

    def training_step(self, batch: Any, place: int) -> torch.Tensor:
        x, y = batch
        return nn.functional.mse_loss(self(x), y)

    def validation_step(self, batch: Any, place: int) -> torch.Tensor:
        x, y = batch
        loss = nn.functional.mse_loss(self(x), y)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters())


class Claims(lightning.Callback):
    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def on_after_backward(self, trainer: Any, module: Any) -> None:
        assert all(parameter.grad is not None for parameter in module.parameters())
        self.watch.model(module, "after backward")

    def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
        self.watch.model(module, "after step")
        states = [list(optimizer.state.values()) for optimizer in trainer.optimizers]
        self.watch.holds("optimizer_state", states)


@pytest.mark.parametrize(
    "options",
    [{}, {"precision": "bf16-mixed", "accumulate_grad_batches": 2, "gradient_clip_val": 1.0}],
    ids=["plain", "bfloat16, accumulated"],
)
def test_trainer(record: Record, tmp_path: Path, options: dict[str, Any]) -> None:
    def program(watch: Watch) -> None:
        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            callbacks=[Claims(watch)],
            **options,
        )
        loader = torch.utils.data.DataLoader(Noise(), batch_size=ROWS)
        trainer.fit(Net(), loader, loader)

    recorded = record(program)
    accumulated = options.get("accumulate_grad_batches", 1)
    assert recorded.phases().count("optimizer") == 2 * -(-STEPS // accumulated)
    assert recorded.phases().count("backward") == 2 * STEPS
    assert recorded.highest("activations") > 0
    names = {row.name for row in rows(recorded.at_highest("optimizer_state"), "optimizer_state")}
    assert "net.0.weight.exp_avg" in names

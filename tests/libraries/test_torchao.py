"""torchao: quantised weights, optimizers with quantised state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, rows

torchao = pytest.importorskip("torchao")
pytestmark = pytest.mark.filterwarnings("ignore:::(torchao|torch)")

WIDTH, STEPS = 256, 2


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH))


def int8() -> Any:
    return torchao.quantization.Int8WeightOnlyConfig()


def int8_both() -> Any:
    return torchao.quantization.Int8DynamicActivationInt8WeightConfig()


def int4() -> Any:
    group = torchao.quantization.PerGroup(32)
    return torchao.quantization.IntxWeightOnlyConfig(torch.int4, group)


@pytest.mark.parametrize("config", [int8, int8_both, int4])
def test_quantised_weights(record: Record, config: Any) -> None:
    def program(watch: Watch) -> None:
        model = network().to(torch.bfloat16)
        watch.model(model, "before")
        torchao.quantize_(model, config())
        watch.model(model, "quantised")
        with torch.no_grad():
            model(torch.randn(4, WIDTH, dtype=torch.bfloat16))
        watch.model(model, "called")

    recorded = record(program)
    held = rows(recorded.at(recorded.claims[-1]), "weights")
    assert {row.name for row in held} >= {"0.weight", "2.weight", "0.bias", "2.bias"}
    assert sum(row.name == "0.weight" for row in held) >= 2  # the numbers, and their scales


@pytest.mark.parametrize("name", ["AdamW8bit", "AdamW4bit", "AdamWFp8"])
def test_optimizers(record: Record, name: str) -> None:
    def program(watch: Watch) -> None:
        model = network()
        optimizer = getattr(torchao.optim, name)(model.parameters())
        for _ in range(STEPS):
            model(torch.randn(4, WIDTH)).square().mean().backward()
            watch.model(model, "after backward")
            optimizer.step()
            optimizer.zero_grad()
            watch.model(model, "after step")
            watch.holds("optimizer_state", list(optimizer.state.values()))

    with torch.compiler.set_stance("force_eager"):  # it would compile for longer than it runs
        recorded = record(program)
    assert recorded.phases().count("optimizer") == STEPS
    held = rows(recorded.at_highest("optimizer_state"), "optimizer_state")
    assert "0.weight.exp_avg" in {row.name for row in held}

"""optimum-quanto: quantised and frozen weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, rows

quanto = pytest.importorskip("optimum.quanto")
pytestmark = pytest.mark.filterwarnings("ignore:::(optimum|torch)")

WIDTH = 256


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH))


@pytest.mark.parametrize("kind", ["qint8", "qint4", "qint2", "qfloat8"])
def test_frozen_weights(record: Record, kind: str) -> None:
    def program(watch: Watch) -> None:
        model = network()
        watch.model(model, "before")
        quanto.quantize(model, weights=getattr(quanto, kind))
        watch.model(model, "quantised")
        quanto.freeze(model)
        watch.model(model, "frozen")
        with torch.no_grad():
            for _ in range(2):
                model(torch.randn(4, WIDTH))
        watch.model(model, "called")

    recorded = record(program)
    held = [row.name for row in rows(recorded.at(recorded.claims[-3]), "weights")]
    assert {"0.weight", "0.bias", "2.weight", "2.bias"} == set(held)
    assert len(held) > 4  # scales and shifts


def test_quantised_activations_in_training(record: Record) -> None:
    def program(watch: Watch) -> None:
        model = network()
        quanto.quantize(model, weights=quanto.qint8, activations=quanto.qint8)
        optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
        with torch.no_grad(), quanto.Calibration():
            model(torch.randn(4, WIDTH))
        for _ in range(2):
            model(torch.randn(4, WIDTH)).square().mean().backward()
            watch.model(model, "after backward")
            optimizer.step()
            watch.holds("optimizer_state", list(optimizer.state.values()))
            optimizer.zero_grad()
        watch.model(model, "end")

    recorded = record(program)
    assert recorded.highest("activations") > 0

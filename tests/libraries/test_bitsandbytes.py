"""bitsandbytes on CPU: quantised layers and optimizers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, rows, tensors

bnb = pytest.importorskip("bitsandbytes")
pytestmark = pytest.mark.filterwarnings("ignore:::(bitsandbytes|torch)")

WIDTH, STEPS = 256, 2


def network(linear: Any, **options: Any) -> nn.Module:
    first = linear(WIDTH, 2 * WIDTH, **options)
    return nn.Sequential(first, nn.ReLU(), linear(2 * WIDTH, WIDTH, **options))


def quantised(layer: nn.Module) -> Iterator[torch.Tensor]:
    """What a quantised layer keeps beside its parameters: scales and tables."""
    for held in (vars(layer.weight), vars(getattr(layer, "state", layer.weight))):
        yield from tensors(held)
    state = getattr(layer.weight, "quant_state", None)
    for each in (state, getattr(state, "state2", None)):
        yield from tensors(vars(each) if each is not None else [])


EIGHT_BITS = {"linear": bnb.nn.Linear8bitLt, "has_fp16_weights": False}
NESTED = {"linear": bnb.nn.Linear4bit, "quant_type": "nf4"}
FOUR_BITS = {**NESTED, "compress_statistics": False}


@pytest.mark.parametrize("layers", [EIGHT_BITS, FOUR_BITS, NESTED], ids=["int8", "nf4", "nested"])
def test_quantised_weights(record: Record, layers: dict[str, Any]) -> None:
    def program(watch: Watch) -> None:
        model = network(**layers)
        model.load_state_dict(network(nn.Linear).state_dict())
        model = model.to("cpu")  # this quantises
        for where in ("quantised", "called", "called again"):
            scales = [*quantised(model[0]), *quantised(model[2])]
            assert scales
            watch.holds("weights", list(model.parameters()), scales, where=where)
            with torch.no_grad():
                model(torch.randn(4, WIDTH, dtype=torch.bfloat16))

    recorded = record(program)
    held = {row.name for row in rows(recorded.at(recorded.claims[-1]), "weights")}
    assert {"0.weight", "2.weight"} <= held
    assert any(name.startswith("0.weight.") for name in held)


@pytest.mark.parametrize("name", ["AdamW8bit", "PagedAdamW8bit", "Lion8bit", "AdamW"])
def test_optimizers(record: Record, name: str) -> None:
    def program(watch: Watch) -> None:
        model = network(nn.Linear)
        optimizer = getattr(bnb.optim, name)(model.parameters())
        for _ in range(STEPS):
            model(torch.randn(4, WIDTH)).square().mean().backward()
            watch.model(model, "after backward")
            optimizer.step()
            optimizer.zero_grad()
            watch.model(model, "after step")
            watch.holds("optimizer_state", list(optimizer.state.values()))

    recorded = record(program)
    assert recorded.phases().count("optimizer") == STEPS
    held = rows(recorded.at_highest("optimizer_state"), "optimizer_state")
    assert "0.weight.state1" in {row.name for row in held}

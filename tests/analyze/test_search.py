"""Finding live tensors by words, against a plain loop over their descriptions."""

from __future__ import annotations

import random

import pytest

from memprof.analyze import LiveSet, LiveTensor, analyze
from memprof.analyze.search import matching
from tests.trace_builder import TraceBuilder


@pytest.fixture(scope="module")
def live() -> LiveSet:
    chance, build = random.Random(3), TraceBuilder()
    with build.phase("train"), build.phase("forward"):
        for number in range(300):
            build.alloc(
                chance.randrange(1, 50),
                op=chance.choice(["aten::mm", "aten::Add", ""]),
                module=chance.choice(["", "h.1", "h.1.mlp", "h.10", "lm_head"]),
                label=chance.choice(["", "parameter", "input"]),
                name=chance.choice(["", f"W{number}"]),
                tensor=chance.choice(["", "float32[4, 8]"]),
                stack=chance.choice(["", "train.py:3 main\nloop.py:9 go"]),
            )
    return analyze(build.trace()).device("cpu").peak.live()


def described(tensor: LiveTensor) -> str:
    texts = [tensor.name, tensor.module, tensor.op, tensor.category, tensor.phase, tensor.tensor]
    return " | ".join([*texts, *tensor.stack]).lower()


@pytest.mark.parametrize(
    "text", ["", "mm", "ADD h.1", "w1", "float32 mlp", "loop.py", "train", "weights", "zzz", "4,"]
)
def test_every_word_is_looked_for(live: LiveSet, text: str) -> None:
    wanted = [
        tensor.allocation
        for tensor in live.rows()
        if all(word in described(tensor) for word in text.lower().split())
    ]
    assert matching(live, text).allocations.tolist() == wanted
    assert len(wanted) > 0 or text == "zzz"


def test_a_module_is_itself_and_what_lies_below(live: LiveSet) -> None:
    found = {tensor.module for tensor in matching(live, "module:h.1").rows()}
    assert found == {"h.1", "h.1.mlp"}
    assert {tensor.module for tensor in matching(live, "module:").rows()} == {""}


def test_a_category_is_exact(live: LiveSet) -> None:
    found = {tensor.category for tensor in matching(live, "category:weights mm").rows()}
    assert found == {"weights"}
    assert len(matching(live, "category:weight")) == 0


def test_nothing_is_found_in_nothing() -> None:
    build = TraceBuilder()
    build.free(build.alloc(5))
    end = analyze(build.trace()).device("cpu").end.live()
    assert len(matching(end, "x module:y")) == 0

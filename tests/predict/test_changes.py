"""Changes made to a program, each against what it must change by arithmetic."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.loss.loss_utils import ForCausalLMLoss

import memprof
from memprof.predict.answer.again import Again, cheapest_changes
from memprof.predict.answer.search import largest, parse_range, with_argument
from memprof.predict.changes.chunked_loss import chunked_loss

WIDTH, LAYERS, ROWS = 512, 4, 4096
WEIGHTS = 4 * WIDTH * WIDTH * LAYERS


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False), nn.GELU()) for _ in range(LAYERS)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def train() -> None:
    model = Stack().to("cuda")
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        model(torch.randn(ROWS, WIDTH, device="cuda")).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def highest(**options: Any) -> dict[str, int]:
    with memprof.predict(**options) as prediction:
        train()
    peaks = prediction.analysis.device("cuda:0").category_peaks
    optimizing = [op for op in prediction.trace.strings if "_foreach_sqrt" in op]
    found = {category: peak.bytes for category, peak in peaks.items()}
    return {**found, "foreach": len(optimizing)}


@pytest.fixture(scope="module", name="plain")
def unchanged() -> dict[str, int]:
    return highest()


def test_unchanged(plain: dict[str, int]) -> None:
    assert plain["weights"] == plain["gradients"] == WEIGHTS
    assert WEIGHTS * 2 <= plain["optimizer_state"] <= WEIGHTS * 2 + 64
    assert plain["foreach"]


def test_a_fused_optimizer_has_no_temporaries() -> None:
    assert not highest(changes=["fused"])["foreach"]


def test_checkpointing_keeps_what_goes_into_each_layer(plain: dict[str, int]) -> None:
    kept = highest(changes=["checkpointing"])["activations"]
    layer = 4 * ROWS * WIDTH
    assert plain["activations"] >= (2 * LAYERS - 1) * layer
    assert LAYERS * layer <= kept <= (LAYERS + 3) * layer


def test_state_in_8_bits() -> None:
    state = highest(changes=["8bit"])["optimizer_state"]
    assert state == 2 * (WEIGHTS // 4 + 4 * WEIGHTS // 4 // 256)


def test_a_model_in_bfloat16(plain: dict[str, int]) -> None:
    assert highest(changes=["bf16"])["weights"] == plain["weights"] // 2


VOCABULARY, TOKENS = 8192, 4096


def language_model() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=1,
            dtype=torch.bfloat16,
        )
    )


def highest_of_the_loss(*changes: str) -> int:
    with memprof.predict(changes=changes) as prediction:
        model = language_model().to("cuda", torch.bfloat16)
        tokens = torch.randint(VOCABULARY, (1, TOKENS), device="cuda")
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
    return prediction.analysis.device("cuda:0").peak.requested_bytes


def test_a_loss_in_chunks_keeps_no_logits_in_float32() -> None:
    """At once there are: log-softmax, its gradient and that of the logits, of 4 bytes; then, at the
    last of four chunks, all logits, the gradients of three chunks, and of one chunk those three."""
    logits, chunk = VOCABULARY * TOKENS, VOCABULARY * 1024
    saved = highest_of_the_loss() - highest_of_the_loss("chunked_loss")
    whole, chunked = 3 * 4 * logits, 2 * logits + 2 * 3 * chunk + 3 * 4 * chunk
    assert saved == pytest.approx(whole - chunked, rel=1e-3)


def test_a_loss_in_chunks_is_the_same_loss() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 1500, 16, requires_grad=True)
    labels = torch.randint(16, (2, 1500))
    labels[0, :700] = -100
    losses = [chunked_loss(logits, labels, 16), ForCausalLMLoss(logits, labels, 16)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*[torch.autograd.grad(loss, logits)[0] for loss in losses])


@pytest.mark.parametrize("rank", [0, 7])
def test_sharded_over_8_ranks(rank: int) -> None:
    shard = highest(ranks=8, rank=rank, strategy="fsdp2")
    assert shard["weights"] == WEIGHTS // 8
    assert WEIGHTS // 4 <= shard["optimizer_state"] <= WEIGHTS // 4 + 64
    assert shard["communication"] > 0


def test_a_program_that_shards_itself() -> None:
    with memprof.predict(ranks=4) as prediction:
        torch.distributed.init_process_group("nccl")
        assert torch.distributed.get_world_size() == 4
        with torch.device("meta"):
            model = Stack()
        for layer in model.layers:
            fully_shard(layer)
        fully_shard(model).to_empty(device="cuda")
        model(torch.randn(8, WIDTH, device="cuda")).sum().backward()
    end = prediction.analysis.device("cuda:0").end.by_category
    assert end["weights"] == end["gradients"] == WEIGHTS // 4


class Answers(Again):
    """Predictions of a program that needs 100, and of it changed."""

    def predict(self, *more: str, program: Any = None) -> Any:
        factors = {"fused": 90, "checkpointing": 70, "8bit": 75, "bf16": 50, "fsdp2": 13}
        needed = 100
        for word in more:
            needed = needed * factors.get(word, 100) // 100
        return {"fits": {"gpu": {"fits": needed <= 55}}, "needed_bytes": needed, "peak": None}


def test_the_cheapest_changes_come_first_and_only_with_what_they_need() -> None:
    found = cheapest_changes(Answers((), ("program.py",), "gpu"), 100)
    assert [change["changes"] for change in found] == [
        ["fused", "checkpointing", "8bit"],
        ["bf16"],
        ["fsdp2"],
    ]
    assert [change["needed_bytes"] for change in found] == [47, 50, 13]


class Growing(Again):
    """A program that needs ten for each of its batch, and has a hundred."""

    def predict(self, *more: str, program: Any = None) -> Any:
        needed = 10 * int(program[-1])
        return {"fits": {"gpu": {"fits": needed <= 100}}, "needed_bytes": needed}


@pytest.mark.parametrize(
    ("text", "expected"), [("b=1..512", 10), ("b=1..4", 4), ("b=11..20", None), ("b=10..10", 10)]
)
def test_the_largest_that_fits(text: str, expected: int | None) -> None:
    found = largest(Growing((), ("program.py",), "gpu"), parse_range(text))
    assert found["largest"] == expected
    assert found["tried"][str(expected or 11)] == 10 * (expected or 11)
    assert len(found["tried"]) <= 10


def test_an_argument_is_replaced_wherever_it_stands() -> None:
    line = ["train.py", "--batch", "4", "--batch=5", "--lr", "1"]
    assert with_argument(line, "batch", 8) == ["train.py", "--lr", "1", "--batch", "8"]
    assert (parse_range("batch=1..512").least, parse_range("seq-len=8..64").most) == (1, 64)

"""Logits that are held several times, and logits of which one chunk at a time exists."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tests.analyze.findings.recorded import RECORDERS, found

VOCABULARY, TOKENS, WIDTH, FLOAT = 1024, 128, 16, 4
LOGITS = VOCABULARY * TOKENS * FLOAT


class Language(nn.Module):
    """Embedding, head and loss; the loss is taken of so many chunks of tokens in turn."""

    def __init__(self, chunks: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, dtype=dtype)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False, dtype=dtype)
        self.chunks = chunks

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        hidden = self.embedding(ids)
        if self.chunks == 1:
            logits = self.head(hidden)
            return self.loss(logits, ids), logits
        parts = zip(hidden.chunk(self.chunks), ids.chunk(self.chunks), strict=True)
        losses = [checkpoint(self.part, *part, use_reentrant=False) for part in parts]
        return torch.stack(losses).sum(), None

    def part(self, hidden: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return self.loss(self.head(hidden), ids)

    def loss(self, logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits.float().flatten(0, 1), ids.flatten())


def train(model: nn.Module, *, drop: bool = False) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        loss, logits = model(torch.randint(VOCABULARY, (8, TOKENS // 8)))
        if drop:
            del logits
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("drop", [True, False])
def test_the_loss_holds_its_result_and_two_gradients(recorder: str, drop: bool) -> None:
    """Of float32 logits, the graph keeps only the result of the log-softmax."""
    model = Language(1, torch.float32)

    (finding,) = found(lambda: train(model, drop=drop), recorder, "logits")

    assert finding.bytes == (2 if drop else 3) * LOGITS
    assert ("drop the model's output" in finding.fix) is not drop


@pytest.mark.parametrize("recorder", RECORDERS)
def test_logits_in_half_precision_are_held_beside_their_copies(recorder: str) -> None:
    model = Language(1, torch.bfloat16)

    (finding,) = found(lambda: train(model), recorder, "logits")

    assert finding.bytes == 3 * LOGITS
    assert "128 × 1,024, are held 4 times" in finding.text


@pytest.mark.parametrize("recorder", RECORDERS)
def test_one_chunk_at_a_time_is_not_told(recorder: str) -> None:
    assert found(lambda: train(Language(8, torch.float32)), recorder, "logits") == []

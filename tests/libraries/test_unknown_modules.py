"""Modules that memprof has never heard of: keys, values and states are found by structure."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.libraries.conftest import Record
from tests.libraries.harness import Watch, rows

WIDTH, HEADS, NEW = 64, 4, 6


class Attention(nn.Module):
    """Self-attention over all that it has seen; what it keeps is up to the classes below."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        split = self.project(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        keys, values = self.remember(split[1], split[2])
        seen = functional.scaled_dot_product_attention(split[0], keys, values)
        return x + self.out(seen.transpose(1, 2).flatten(2))


class Growing(Attention):
    """Concatenates."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = None

    def remember(self, *made: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.training:
            return made
        if self.first is None:
            self.first, self.second = (part.clone() for part in made)
        else:
            self.first = torch.cat([self.first, made[0]], 2)
            self.second = torch.cat([self.second, made[1]], 2)
        return self.first, self.second

    def kept(self) -> list[Any]:
        return [self.first, self.second]


class Filling(Attention):
    """Fills tensors that it made beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.room = [torch.zeros(2, HEADS, 32, WIDTH // HEADS) for _ in range(2)]
        self.used = 0

    def remember(self, *made: torch.Tensor) -> list[torch.Tensor]:
        end = self.used + made[0].shape[2]
        for room, part in zip(self.room, made, strict=True):
            room[:, :, self.used : end] = part
        self.used = end
        return [room[:, :, :end] for room in self.room]

    def kept(self) -> list[Any]:
        return self.room


class Buffered(Filling):
    """Fills buffers, as gpt-fast does."""

    def __init__(self) -> None:
        super().__init__()
        first, second = self.room
        self.room = []
        self.register_buffer("stored", first)
        self.register_buffer("kept_too", second)

    def remember(self, *made: torch.Tensor) -> list[torch.Tensor]:
        self.room = [self.stored, self.kept_too]
        seen = super().remember(*made)
        self.room = []
        return seen

    def kept(self) -> list[Any]:
        return [self.stored, self.kept_too]


class Decoder(nn.Module):
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, WIDTH)
        self.layers = nn.ModuleList(kind() for _ in range(2))
        self.table = torch.randn(32, WIDTH)  # neither buffer nor cache: never written

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens) + self.table[: tokens.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return x @ self.embed.weight.T


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("kind", [Growing, Filling, Buffered])
def test_keys_and_values(record: Record, kind: Any, mode: Any) -> None:
    def program(watch: Watch) -> None:
        model = Decoder(kind).eval()
        with mode():
            tokens = torch.randint(100, (2, 8))
            for step in range(NEW):
                tokens = model(tokens)[:, -1:].argmax(-1)
                watch.holds("kv_cache", [layer.kept() for layer in model.layers], where=f"{step}")
                watch.holds("buffers", model.table)
        watch.holds("weights", list(model.parameters()))

    recorded = record(program)
    for row in rows(recorded.at(recorded.claims[-3]), "kv_cache"):
        assert row.name.startswith(row.module + "."), row


def test_keys_and_values_between_steps_of_training(record: Record) -> None:
    """A sample is drawn after every few steps, as people do to see how training goes."""

    def program(watch: Watch) -> None:
        model = Decoder(Growing)
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(2):
            for _ in range(5):
                model.train()(torch.randint(100, (2, 8))).square().mean().backward()
                watch.holds("kv_cache")
                optimizer.step()
                optimizer.zero_grad()
            with torch.no_grad():
                tokens = torch.randint(100, (2, 8))
                for _ in range(NEW):
                    tokens = model.eval()(tokens)[:, -1:].argmax(-1)
                    watch.holds("kv_cache", [layer.kept() for layer in model.layers])
            for layer in model.layers:
                layer.first = layer.second = None
        watch.holds("weights", list(model.parameters()))
        watch.holds("buffers", model.table)
        watch.holds("optimizer_state", list(optimizer.state.values()))

    record(program)


class Reader(nn.Module):
    """Reads word by word and remembers in an attribute, replaced or written in place."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.embed, self.cell = nn.Embedding(100, WIDTH), nn.GRUCell(WIDTH, WIDTH)
        self.in_place = in_place
        self.state = torch.zeros(4, WIDTH)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        state = self.cell(self.embed(tokens), self.state)
        if self.in_place:
            self.state.copy_(state)
        else:
            self.state = state
        return state @ self.embed.weight.T


@pytest.mark.parametrize("in_place", [False, True])
def test_recurrent_states(record: Record, in_place: bool) -> None:
    def program(watch: Watch) -> None:
        model = Reader(in_place).eval()
        with torch.no_grad():
            tokens = torch.randint(100, (4,))
            for _ in range(NEW):
                tokens = model(tokens).argmax(-1)
                watch.holds("recurrent_state", model.state)
        watch.holds("kv_cache")
        watch.holds("weights", list(model.parameters()))

    record(program)


def test_feature_taps_are_no_cache(record: Record) -> None:
    """A module that keeps its latest result, which nobody reads again, keeps no keys."""

    class Tapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(WIDTH, WIDTH)
            self.latest = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.latest = self.body(x)
            return self.latest.sum()

    def program(watch: Watch) -> None:
        model = Tapped().eval()
        with torch.no_grad():
            for _ in range(NEW):
                model(torch.randn(8, WIDTH))
                watch.holds("kv_cache")
                watch.holds("recurrent_state")
        watch.model(model)

    record(program)

"""Small programs of many kinds, run once with real tensors and once with fake ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.libraries.test_transformers_generation import deepseek_v3, whisper
from tests.libraries.test_transformers_models import pictures, speech, vit, words
from tests.oracle.programs import models

Program = Callable[[], None]
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
STEPS, NEW = 2, 5
TARGETS = ["q_proj", "v_proj"]


def trained(make: Callable[[], nn.Module], inputs: Callable[[], dict[str, Any]]) -> Program:
    """Trains a model of transformers, whose loss comes with its outputs."""

    def program() -> None:
        model = make().train()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(STEPS):
            model(**inputs()).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return program


def generated(make: Callable[[], nn.Module], **options: Any) -> Program:
    """Generates to the longest length; a token that ends a sequence is nowhere known."""

    def program() -> None:
        model: Any = make().eval()
        prompt = torch.randint(1, models.VOCABULARY - 1, (2, 7))
        lengths = {"min_new_tokens": NEW, "max_new_tokens": NEW}
        model.generate(prompt, do_sample=False, pad_token_id=0, **lengths, **options)

    return program


def mixture() -> nn.Module:
    """Experts whose tokens are multiplied in one go, whoever gets how many."""
    model: Any = models.mixtral()
    model.set_experts_implementation("grouped_mm")
    return model


def lora() -> nn.Module:
    import peft

    config = peft.LoraConfig(r=4, target_modules=TARGETS, task_type="CAUSAL_LM")
    return peft.get_peft_model(models.llama(), config)


def checkpointed() -> nn.Module:
    model: Any = models.llama()
    model.gradient_checkpointing_enable()
    return model


def in_halves() -> nn.Module:
    return models.llama().to(torch.bfloat16)


def steps(model: nn.Module, batches: Batches, optimizer: torch.optim.Optimizer) -> None:
    for inputs, targets in batches:
        nn.functional.cross_entropy(model(inputs), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def labelled(*shape: int) -> Batches:
    for _ in range(STEPS):
        yield torch.randn(shape), torch.randint(10, shape[:1])


def convolutional() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, stride=2),
        nn.GroupNorm(4, 32),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(32, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    steps(model, labelled(4, 3, 32, 32), optimizer)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.GRU(16, 32, num_layers=2, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.inner(x)[0][:, -1])


def gated() -> None:
    model = Gated()
    steps(model, labelled(4, 12, 16), torch.optim.Adam(model.parameters()))


class Encoder(nn.Module):
    """PyTorch's own transformer, every layer checkpointed."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        layers = [nn.TransformerEncoderLayer(32, 4, 64, batch_first=True) for _ in range(3)]
        self.layers, self.head = nn.ModuleList(layers), nn.Linear(32, 10)
        self.reentrant = reentrant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=self.reentrant)
        return self.head(x.mean(1))


def encoder(reentrant: bool) -> Program:
    def program() -> None:
        model = Encoder(reentrant)
        optimizer = torch.optim.RMSprop(model.parameters(), foreach=True)
        batches = ((x.requires_grad_(), y) for x, y in labelled(4, 8, 32))
        steps(model, batches, optimizer)

    return program


def mixed_precision() -> None:
    """Autocast, gradients of several batches added up, a scaler, and values asked for."""
    model = nn.Sequential(nn.Linear(64, 256), nn.SiLU(), nn.LayerNorm(256), nn.Linear(256, 10))
    optimizer = torch.optim.AdamW(model.parameters())
    scaler = torch.amp.GradScaler("cpu")
    seen = 0.0
    for inputs, targets in labelled(8, 64):
        with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
            loss = nn.functional.cross_entropy(model(inputs), targets)
        scaler.scale(loss).backward()
        seen += loss.item()
    scaler.step(optimizer)
    scaler.update()


def recommender() -> None:
    """Sparse features of many lengths, chosen by masks whose values are known."""
    table, head = nn.EmbeddingBag(1000, 16, mode="sum"), nn.Linear(16, 2)
    optimizer = torch.optim.Adagrad([*table.parameters(), *head.parameters()])
    lengths = torch.tensor([3, 1, 4, 2])
    offsets = torch.cumsum(lengths, 0) - lengths
    for _ in range(STEPS):
        features = torch.randint(1000, (int(lengths.sum()),))
        kept = head(table(features, offsets))[lengths > 1]
        kept.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


PROGRAMS: dict[str, Program] = {
    "Llama": trained(models.llama, words),
    "Llama in bfloat16": trained(in_halves, words),
    "Llama, checkpointed": trained(checkpointed, words),
    "Llama, LoRA": trained(lora, words),
    "Llama, generating": generated(models.llama),
    "Llama, static cache": generated(models.llama, cache_implementation="static"),
    "Llama, beams": generated(models.llama, num_beams=3),
    "GPT-2": trained(models.gpt2, words),
    "Mistral": trained(models.mistral, words),
    "Mistral, generating": generated(models.mistral),
    "Gemma 3": trained(models.gemma3, words),
    "Mixtral": trained(mixture, words),
    "DeepSeek-V3": trained(deepseek_v3, words),
    "T5": trained(models.t5, words),
    "T5, generating": generated(models.t5),
    "Mamba": trained(models.mamba, words),
    "RWKV": trained(models.rwkv, words),
    "ViT": trained(vit, pictures),
    "Whisper": trained(whisper, speech),
    "CNN": convolutional,
    "GRU": gated,
    "encoder, checkpointed": encoder(False),
    "encoder, checkpointed by reentry": encoder(True),
    "mixed precision": mixed_precision,
    "recommender": recommender,
}

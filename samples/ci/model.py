"""The model of this sample: a Llama of random weights, small enough for any machine."""

from __future__ import annotations

import torch
from transformers import LlamaConfig, LlamaForCausalLM

CONFIG = LlamaConfig(
    vocab_size=512,
    hidden_size=64,
    intermediate_size=176,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
)
TOKENS = 64


def build() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(CONFIG)


def batch(size: int) -> torch.Tensor:
    return torch.randint(0, CONFIG.vocab_size, (size, TOKENS))


def train_step(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, size: int) -> None:
    tokens = batch(size)
    model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
    optimizer.step()
    optimizer.zero_grad()

"""Hyena's language model in the sizes of HyenaDNA, written after the papers: parameters alone."""

from typing import Any

import torch
from torch import nn


class Filter(nn.Module):
    """A network from positions to a filter; its positions are learned."""

    def __init__(self, width: int, length: int, positions: int, inner: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(width))
        self.positions = nn.Parameter(torch.empty(1, length, positions))
        self.frequency = nn.Parameter(torch.empty(1, inner))  # shared by all sines
        self.layers = nn.ModuleList([nn.Linear(positions, inner)])
        self.layers += [nn.Linear(inner, inner) for _ in range(2)]
        self.last = nn.Linear(inner, width, bias=False)


class Operator(nn.Module):
    """Order 2: a value and two gates, a short convolution each, one long filter."""

    def __init__(self, width: int, length: int, positions: int, inner: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, 3 * width)
        self.short = nn.Conv1d(3 * width, 3 * width, 3, groups=3 * width)
        self.long = Filter(width, length, positions, inner)
        self.out = nn.Linear(width, width)


def hyena(config: dict[str, Any]) -> nn.Module:
    width, inner = config["d_model"], config["d_inner"]
    vocabulary = -(-config["vocab_size"] // 8) * 8
    blocks = []
    for _ in range(config["n_layer"]):
        operator = Operator(width, config["max_seq_len"], config["emb_dim"], config["filter_order"])
        mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        blocks.append(nn.ModuleList([nn.LayerNorm(width), operator, nn.LayerNorm(width), mlp]))
    return nn.ModuleList(
        [
            nn.Embedding(vocabulary, width),
            *blocks,
            nn.LayerNorm(width),
            nn.Linear(width, vocabulary, bias=False),
        ]
    )

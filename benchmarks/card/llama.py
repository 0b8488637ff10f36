"""A Llama in PyTorch alone: a card's machine need not have more."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .sizes import Shape

Tensor = torch.Tensor
Store = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]


class Attention(nn.Module):
    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.shape, self.layer = shape, layer
        self.q = nn.Linear(shape.width, shape.width, bias=False)
        self.kv = nn.Linear(shape.width, 2 * shape.kv_heads * shape.head_width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, store: Store | None) -> Tensor:
        heads = (-1, self.shape.head_width)
        q = self.q(x).unflatten(2, heads).transpose(1, 2)
        k, v = (part.unflatten(2, heads).transpose(1, 2) for part in self.kv(x).chunk(2, 2))
        causal = store is None or x.shape[1] > 1
        if store is not None:
            k, v = store(self.layer, k, v)
        attended = functional.scaled_dot_product_attention(
            q, k, v, is_causal=causal, enable_gqa=True
        )
        return self.out(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.RMSNorm(shape.width), nn.RMSNorm(shape.width)
        self.attention = Attention(shape, layer)
        self.gate_up = nn.Linear(shape.width, 2 * shape.mlp, bias=False)
        self.down = nn.Linear(shape.mlp, shape.width, bias=False)

    def forward(self, x: Tensor, store: Store | None = None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), store)
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, 2)
        return x + self.down(functional.silu(gate) * up)


class Llama(nn.Module):
    """Without positions: they hold no memory worth comparing."""

    def __init__(self, shape: Shape, *, checkpointing: bool = False) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)

    def forward(self, tokens: Tensor, store: Store | None = None) -> Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = self._through(block, x, store)
        last = x if store is None else x[:, -1:]
        return self.head(self.norm(last))

    def _through(self, block: nn.Module, x: Tensor, store: Store | None) -> Tensor:
        if self.checkpointing:
            return checkpoint(block, x, use_reentrant=False)
        return block(x, store)


def made(shape: Shape, device: torch.device, *, checkpointing: bool = False) -> Llama:
    """A Llama in bfloat16, made where it will stay."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            return Llama(shape, checkpointing=checkpointing)
    finally:
        torch.set_default_dtype(default)


class Growing:
    """A cache that appends: old and new keys live together for a moment."""

    def __init__(self, tag: Callable[[Tensor], None]) -> None:
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._tag = tag

    def __call__(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if layer in self.kept:
            old_k, old_v = self.kept[layer]
            k, v = torch.cat([old_k, k], 2), torch.cat([old_v, v], 2)
        else:
            k, v = k.contiguous(), v.contiguous()
        self.kept[layer] = k, v
        for tensor in self.kept[layer]:
            self._tag(tensor)
        return k, v


class Fixed:
    """A cache that has its full length from the start."""

    def __init__(self, shape: Shape, length: int, device: torch.device, tag: Callable) -> None:
        size = (2, 1, shape.kv_heads, length, shape.head_width)
        self._all = [
            torch.zeros(size, dtype=torch.bfloat16, device=device) for _ in range(shape.layers)
        ]
        self._filled = [0] * shape.layers
        for tensor in self._all:
            tag(tensor)

    def __call__(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        begin = self._filled[layer]
        end = self._filled[layer] = begin + k.shape[2]
        both = self._all[layer]
        both[0, :, :, begin:end], both[1, :, :, begin:end] = k, v
        return both[0, :, :, :end], both[1, :, :, :end]

"""How large the programs are: for a card, or small enough for a rehearsal on the CPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's shape."""

    vocabulary: int
    width: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values in bfloat16: 2 tensors, 2 bytes."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_width


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of everything that is run.

    Attributes:
        training: the model that is trained, about 1B parameters on a card.
        generating: the model that generates, shaped as Llama-3-8B on a card.
        long_tokens: tokens of the attention whose memory is compared.
        warm_up: steps before those that are timed.
    """

    training: Shape
    batch: int
    tokens: int
    steps: int
    generating: Shape
    prompt: int
    new_tokens: int
    long_tokens: int
    copied_bytes: int
    rounds: int
    warm_up: int
    timed_steps: int


CARD = Sizes(
    training=Shape(32_000, 2048, 5632, 18, 16, 8),
    batch=4,
    tokens=2048,
    steps=4,
    generating=Shape(128_256, 4096, 14_336, 32, 32, 8),
    prompt=2048,
    new_tokens=64,
    long_tokens=65_536,
    copied_bytes=4 << 30,
    rounds=3,
    warm_up=2,
    timed_steps=8,
)
REHEARSAL = Sizes(
    training=Shape(64, 32, 64, 2, 4, 2),
    batch=2,
    tokens=16,
    steps=1,
    generating=Shape(64, 32, 64, 2, 4, 2),
    prompt=8,
    new_tokens=4,
    long_tokens=64,
    copied_bytes=1 << 16,
    rounds=1,
    warm_up=0,
    timed_steps=1,
)

"""Random programs: requests of the sizes that matter, frees in any order, and what goes with it."""

from __future__ import annotations

import random
from collections.abc import Iterator

MIB = 1 << 20

#: Bytes at and around every bound that the rules know, and some between them.
SIZES = (
    *(1, 511, 512, 513, 4096, 100_000, 500_000),
    *(MIB - 512, MIB - 1, MIB, MIB + 1, MIB + 512, 2 * MIB, 3 * MIB + 5),
    *(8 * MIB, 10 * MIB - 513, 10 * MIB - 1, 10 * MIB, 10 * MIB + 1, 11 * MIB, 17 * MIB + 99),
    *(19 * MIB, 20 * MIB - 512, 20 * MIB, 20 * MIB + 512, 21 * MIB, 33 * MIB, 50 * MIB + 1),
)

Step = tuple[str, int, int]


def random_program(seed: int, length: int = 300, streams: int = 2) -> Iterator[Step]:
    """Gives ("malloc", nbytes, stream), ("free", number, 0) and ("empty_cache", 0, 0)."""
    chance = random.Random(seed)
    sizes = [*chance.choices(SIZES, k=8), chance.randrange(1, 30 * MIB)]
    live: list[int] = []
    made = 0
    for place in range(length):
        if chance.random() < 0.02:
            yield "empty_cache", 0, 0
        elif live and chance.random() < (0.35 if place % 100 < 60 else 0.7):
            yield "free", live.pop(chance.randrange(len(live))), 0
        else:
            size = chance.choice(sizes) if chance.random() < 0.8 else chance.randrange(1, 40 * MIB)
            yield "malloc", size, chance.randrange(streams)
            live.append(made)
            made += 1

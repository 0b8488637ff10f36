"""Wrong models: each plants one fault into the allocator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memprof.predict.allocator import allocator, best_fit, blocks, segments
from memprof.predict.allocator.blocks import Arena, Block, StreamPool
from memprof.predict.allocator.sizes import round_up, segment_request

MIB = 1 << 20
Mutant = Callable[[pytest.MonkeyPatch], None]


def _choosing(choice: Callable[[list[tuple[int, int, Block]]], tuple[int, int, Block]]) -> Mutant:
    def find(self: Any, pool: StreamPool, size: int) -> int | None:
        fits = [entry for entry in pool.free if entry[0] >= size]
        return pool.free.index(choice(fits)) if fits else None

    return lambda patch: patch.setattr(allocator.CachingAllocator, "_best_fit", find)


def _rounding(rule: Callable[[int], int]) -> Mutant:
    return lambda patch: patch.setattr(allocator, "rounded_request", lambda n, _: rule(n))


def _segments(rule: Callable[[int, Any], int]) -> Mutant:
    return lambda patch: patch.setattr(segments, "segment_request", rule)


def _constant(module: Any, name: str, value: int) -> Mutant:
    return lambda patch: patch.setattr(module, name, value)


def _merging(before: bool, after: bool) -> Mutant:
    def put_back(self: Any, block: Block) -> None:
        if before and block.before is not None and block.before.free:
            self._absorb(block, block.before)
        if after and block.after is not None and block.after.free:
            self._absorb(block, block.after)
        self.put(block)

    return lambda patch: patch.setattr(segments.Segments, "put_back", put_back)


def _boundary(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(allocator, "SMALL_REQUEST", MIB - 1)
    patch.setattr(segments, "segment_request", lambda n, s: segment_request(n + 1, s))


def _one_pool(patch: pytest.MonkeyPatch) -> None:
    own = Arena.pool
    patch.setattr(Arena, "pool", lambda self, stream: own(self, 0))


def _small_first(patch: pytest.MonkeyPatch) -> None:
    own = allocator.CachingAllocator._releasing
    patch.setattr(allocator.CachingAllocator, "_releasing", lambda self: own(self)[::-1])


def _last_stream_first(patch: pytest.MonkeyPatch) -> None:
    own = Arena.in_order
    patch.setattr(Arena, "in_order", lambda self: own(self)[::-1])


def _nothing_released(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(allocator.CachingAllocator, "empty_cache", lambda self: None)


def _split_all(patch: pytest.MonkeyPatch) -> None:
    own = allocator.CachingAllocator.__init__

    def init(self: Any, *given: Any, **named: Any) -> None:
        own(self, *given, **named)
        self._max_split = allocator._NO_LIMIT

    patch.setattr(allocator.CachingAllocator, "__init__", init)


PLAIN: dict[str, Mutant] = {
    "first fit": _choosing(lambda fits: min(fits, key=lambda entry: entry[1])),
    "worst fit": _choosing(lambda fits: fits[-1]),
    "best fit, highest address": _choosing(
        lambda fits: max((e for e in fits if e[0] == fits[0][0]), key=lambda e: e[1])
    ),
    "requests rounded to 256": _rounding(lambda n: round_up(n, 256)),
    "requests rounded to 1024": _rounding(lambda n: round_up(n, 1024)),
    "requests rounded up by one too many": _rounding(lambda n: n // 512 * 512 + 512),
    "requests not rounded": _rounding(lambda n: n),
    "small rest not split": _constant(blocks, "LEAST_BLOCK", 1024),
    "large rest split at 1 MiB": _constant(blocks, "SMALL_REQUEST", MIB - 1),
    "large rest split at 512 B": _constant(blocks, "SMALL_REQUEST", 511),
    "large rest split at 2 MiB": _constant(blocks, "SMALL_REQUEST", 2 * MIB),
    "nothing merged": _merging(before=False, after=False),
    "merged with the block before only": _merging(before=True, after=False),
    "merged with the block after only": _merging(before=False, after=True),
    "1 MiB is large": _boundary,
    "small segments of 4 MiB": _segments(
        lambda n, s: 4 * MIB if n <= MIB else segment_request(n, s)
    ),
    "10 MiB shares a segment": _segments(lambda n, s: segment_request(n - (n == 10 * MIB), s)),
    "large segments rounded to 4 MiB": _segments(
        lambda n, s: round_up(n, 4 * MIB) if n >= 10 * MIB else segment_request(n, s)
    ),
    "large segments not rounded": _segments(
        lambda n, s: n if n >= 10 * MIB else segment_request(n, s)
    ),
    "one pool for all streams": _one_pool,
    "small pool released first": _small_first,
    "last stream released first": _last_stream_first,
    "nothing released": _nothing_released,
}

#: These show only under some settings.
OVERSIZE: dict[str, Mutant] = {
    "oversize blocks serve everybody": lambda patch: patch.setattr(
        best_fit, "_may_serve", lambda *_: True
    ),
    "oversize blocks are kept": lambda patch: patch.setattr(
        allocator, "release_oversize", lambda *_: False
    ),
    "oversize blocks are split": _split_all,
}
EXPANDABLE: dict[str, Mutant] = {
    "room to grow does not matter": lambda patch: patch.setattr(
        best_fit, "_with_least_room_to_grow", lambda pool, place: place
    ),
    "free memory before the pages not used": lambda patch: patch.setattr(
        segments, "_has_room", lambda first, size: not first.mapped and first.size >= size
    ),
    "small pages of 4 MiB": _constant(segments, "SMALL_SEGMENT", 4 * MIB),
}

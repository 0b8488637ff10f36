"""The model against a slow allocator that shares nothing with it, on random programs."""

from __future__ import annotations

import math

import pytest

from memprof.errors import OutOfDeviceMemoryError
from memprof.predict.allocator import CachingAllocator, parse_settings, segment_map
from tests.predict.allocator.programs import MIB, random_program
from tests.predict.allocator.reference import OutOfMemoryError, ReferenceAllocator, Rules

CASES = {
    "": Rules(),
    "max_split_size_mb:20": Rules(max_split=20 * MIB),
    "max_split_size_mb:30,max_non_split_rounding_mb:25": Rules(
        max_split=30 * MIB, non_split_rounding=25 * MIB
    ),
    "roundup_power2_divisions:4": Rules(divisions=4),
    "expandable_segments:True": Rules(expandable=True),
    "expandable_segments:True,max_split_size_mb:20": Rules(expandable=True, max_split=20 * MIB),
    "expandable_segments:True,roundup_power2_divisions:8": Rules(expandable=True, divisions=8),
}


@pytest.mark.parametrize("capacity", [math.inf, 600 * MIB, 260 * MIB])
@pytest.mark.parametrize("settings", CASES)
@pytest.mark.parametrize("seed", range(8))
def test_same_addresses_and_levels(settings: str, capacity: float, seed: int) -> None:
    compare(settings, capacity, seed)


def compare(settings: str, capacity: float, seed: int) -> None:
    """Runs a program through both; AssertionError where they part."""
    rules = Rules(**{**vars(CASES[settings]), "capacity": capacity})
    reference = ReferenceAllocator(rules)
    limit = None if capacity == math.inf else int(capacity)
    model = CachingAllocator(parse_settings(settings), limit)
    addresses: list[int | None] = []
    for action, number, stream in random_program(seed):
        if action == "malloc":
            addresses.append(_malloc_both(model, reference, number, stream))
        elif action == "empty_cache":
            model.empty_cache()
            reference.empty_cache()
        elif addresses[number] is not None:
            model.free(addresses[number])
            reference.free(addresses[number])
        levels = model.levels
        assert (levels.reserved, levels.allocated, levels.fragmented) == (
            reference.reserved,
            reference.allocated,
            reference.fragmented,
        )
    used = {
        block.address: (block.size, block.requested)
        for segment in segment_map(model)
        for block in segment.blocks
        if block.use != "inactive"
    }
    assert used == reference.used


def _malloc_both(
    model: CachingAllocator, reference: ReferenceAllocator, nbytes: int, stream: int
) -> int | None:
    try:
        expected = reference.malloc(nbytes, stream)
    except OutOfMemoryError:
        with pytest.raises(OutOfDeviceMemoryError):
            model.malloc(nbytes, stream)
        return None
    assert model.malloc(nbytes, stream) == expected
    return expected

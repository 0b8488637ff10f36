"""Wrong models are found out: none of them replays the recordings."""

from __future__ import annotations

import math
from functools import cache

import pytest

from memprof.predict.replay import Recording, verify
from tests.predict.allocator.programs import MIB
from tests.predict.allocator.reference import Rules
from tests.predict.replay.mutants import EXPANDABLE, OVERSIZE, PLAIN, Mutant
from tests.predict.replay.recorder import recorded


@cache
def recordings(settings: str, max_split: float, expandable: bool) -> tuple[Recording, ...]:
    rules = (
        Rules(expandable, max_split, capacity=capacity, space=1 << 40)
        for capacity in (math.inf, 300 * MIB)
    )
    return tuple(recorded(settings, rule, seed) for rule in rules for seed in range(6))


def is_found_out(mutant: Mutant, given: tuple[Recording, ...]) -> bool:
    assert all(verify(recording).exact for recording in given)
    with pytest.MonkeyPatch.context() as patch:
        mutant(patch)
        return any(not verify(recording).exact for recording in given)


@pytest.mark.parametrize("name", PLAIN)
def test_a_wrong_model_is_not_exact(name: str) -> None:
    assert is_found_out(PLAIN[name], recordings("", math.inf, False))


@pytest.mark.parametrize("name", OVERSIZE)
def test_a_wrong_model_of_oversize_blocks_is_not_exact(name: str) -> None:
    given = recordings("max_split_size_mb:20", 20 * MIB, False)
    assert is_found_out(OVERSIZE[name], given)


@pytest.mark.parametrize("name", EXPANDABLE)
def test_a_wrong_model_of_expandable_segments_is_not_exact(name: str) -> None:
    given = recordings("expandable_segments:True", math.inf, True)
    assert is_found_out(EXPANDABLE[name], given)

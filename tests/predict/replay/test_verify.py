"""Recordings replayed: whole ones, and such as begin midway."""

from __future__ import annotations

import math

import pytest

from memprof.predict.replay import verify
from tests.predict.allocator.programs import MIB
from tests.predict.allocator.reference import Rules
from tests.predict.replay.recorder import recorded

CASES = [
    ("", {}),
    ("max_split_size_mb:20", {"max_split": 20 * MIB}),
    ("roundup_power2_divisions:4", {"divisions": 4}),
    ("expandable_segments:True", {"expandable": True}),
]


@pytest.mark.parametrize("skipped", [0, 50, 137, 300])
@pytest.mark.parametrize("capacity", [math.inf, 300 * MIB])
@pytest.mark.parametrize(("settings", "rules"), CASES)
@pytest.mark.parametrize("seed", range(4))
def test_a_recording_is_replayed_exactly(
    settings: str, rules: dict, capacity: float, skipped: int, seed: int
) -> None:
    recording = recorded(settings, Rules(**rules, capacity=capacity, space=1 << 40), seed, skipped)
    verification = verify(recording)
    assert verification.told == ()
    assert verification.exact

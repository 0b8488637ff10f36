"""A killed training is attributed nearly as the whole one is, whose end tells the truth."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest

from memprof.attribute import attribute
from memprof.trace import CATEGORIES, Trace, read
from tests.synthetic import synthetic_training


@cache
def whole() -> tuple[Trace, list[str]]:
    trace = read(io.BytesIO(synthetic_training(6_000)))
    return trace, [CATEGORIES[number] for number in attribute(trace).category]


def mistaken_share(events: int) -> float:
    """Bytes alive at the end of a run killed after `events` that are not called what they are."""
    trace = read(io.BytesIO(synthetic_training(events, complete=False)))
    assert len(trace.events) == events
    _, truth = whole()
    alive = np.flatnonzero(trace.allocations.death == events)
    found = attribute(trace).category
    sizes = trace.allocations.nbytes.tolist()
    wrong = sum(sizes[n] for n in alive.tolist() if CATEGORIES[found[n]] != truth[n])
    return wrong / sum(sizes[n] for n in alive.tolist())


@pytest.mark.parametrize("events", range(150, 4_400, 83))
def test_wherever_it_is_killed_nearly_all_bytes_are_called_what_they_are(events: int) -> None:
    assert mistaken_share(events) < 0.02
